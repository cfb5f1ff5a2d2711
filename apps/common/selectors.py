"""Reads of the shared tables."""

from django.db.models import DurationField, ExpressionWrapper, F, Max
from django.db.models.functions import Now

from apps.common.models import Heartbeat


def seconds_since_heartbeat() -> dict[str, float]:
    """For each queue, how long ago one of its workers was last seen alive."""
    age = ExpressionWrapper(Now() - F("newest"), output_field=DurationField())
    rows = (
        Heartbeat.objects.values("queue")
        .annotate(newest=Max("seen_at"))
        .annotate(age=age)
        .values_list("queue", "age")
    )
    return {queue: age.total_seconds() for queue, age in rows}
