"""Taking personal data out of what is kept of requests: receivers may have sent back what they were sent."""

from uuid import UUID

from apps.webhooks.models import Attempt, Delivery


def erase_answers(subjects: list[UUID]) -> None:
    """Forget the bodies that receivers answered deliveries about these subjects with."""
    deliveries = Delivery.objects.filter(subject__in=subjects).values("pk")
    Attempt.objects.filter(delivery_id__in=deliveries).exclude(response_body=b"").update(
        response_body=b""
    )
