"""The words of the orders app."""

from django.db.models import TextChoices


class OrderStatus(TextChoices):
    """Where an order stands; which steps are allowed is in `states`."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    SHIPPED = "shipped"
    COMPLETED = "completed"
    CANCELED = "canceled"
    EXPIRED = "expired"
    RETURNED = "returned"


# While an order stands here, stock is reserved for it and its items can change.
RESERVING = (OrderStatus.PENDING, OrderStatus.CONFIRMED)


class MovementKind(TextChoices):
    """Why stock moved; each kind has one direction, held by a constraint of the ledger."""

    RECEIVED = "received"
    RESERVED = "reserved"
    RELEASED = "released"
    SHIPPED = "shipped"
    RETURNED = "returned"
    ADJUSTED = "adjusted"


MAX_LINES = 500
MAX_QUANTITY = 1_000_000
MAX_ON_HAND = 1_000_000_000
MAX_RESERVATION_MINUTES = 366 * 24 * 60
