"""Keeping the tables beside the log as bounded as the log, whose old weeks are dropped."""

from django.db.models import Min

from apps.events.models import Counter, Event, Reader

TRIM_BATCH = 5000


def trim_readers() -> bool:
    """Forget who was named on events that are gone; True when more may be left.

    Rows are made in the order of their positions, so the oldest are the first by id.
    """
    oldest = Event.objects.aggregate(position=Min("position"))["position"]
    if oldest is None:
        oldest = 1 + (Counter.objects.values_list("position", flat=True).first() or 0)
    first = Reader.objects.order_by("pk").values("pk")[:TRIM_BATCH]
    trimmed, _ = Reader.objects.filter(pk__in=first, position__lt=oldest).delete()
    return trimmed == TRIM_BATCH
