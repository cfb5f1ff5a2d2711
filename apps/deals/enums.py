"""The states of a deal and who may move it from one to another."""

from django.db import models

from apps.common.actor import ActorKind


class DealStatus(models.TextChoices):
    AVAILABLE = "available"
    SOLD = "sold"
    WITHDRAWN = "withdrawn"


class DiscountType(models.TextChoices):
    FLAT = "flat"
    PERCENTAGE = "percentage"


# Whoever acts for the seller: one of its keys, or a person in the back office.
_SELLER = frozenset({ActorKind.API_KEY, ActorKind.USER})

# (from, to) -> who may; a deal that does not exist yet is None. What is not here does not happen.
TRANSITIONS: dict[tuple[DealStatus | None, DealStatus], frozenset[ActorKind]] = {
    (None, DealStatus.AVAILABLE): _SELLER,
    (DealStatus.AVAILABLE, DealStatus.SOLD): _SELLER,
    (DealStatus.AVAILABLE, DealStatus.WITHDRAWN): _SELLER,
}

# A deal that can become nothing else any more can no longer be edited either.
CLOSED = frozenset(DealStatus) - {source for source, _ in TRANSITIONS}
