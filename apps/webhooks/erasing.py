"""Taking personal data out of what is kept of requests: receivers may have sent back what they were sent."""

from uuid import UUID, uuid4

from apps.webhooks.models import Attempt, Delivery, Due


def erase_answers(subjects: list[UUID], *, but: str) -> None:
    """Forget the bodies that receivers answered deliveries about these subjects with, of all types of events but
    one, whose receivers are told nothing personal.

    What is on its way leaves no trace: its lease is another's, who does nothing. It is sent again when that ends,
    as the event is by then.
    """
    deliveries = Delivery.objects.filter(subject__in=subjects).exclude(event_type=but).values("pk")
    under_way = Due.objects.filter(pk__in=deliveries, lease_id__isnull=False)
    under_way.update(lease_id=uuid4())
    Attempt.objects.filter(delivery_id__in=deliveries).exclude(response_body=b"").update(
        response_body=b""
    )
