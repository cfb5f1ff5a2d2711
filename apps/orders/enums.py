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


class Fulfillment(TextChoices):
    """How much of an order has been shipped."""

    NONE = "none"
    PARTIAL = "partial"
    FULL = "full"


class PaymentKind(TextChoices):
    """What a payment service said about the customer's money."""

    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    REFUNDED = "refunded"


class MovementKind(TextChoices):
    """Why stock moved; each kind has one direction, held by a constraint of the ledger."""

    RECEIVED = "received"
    RESERVED = "reserved"
    RELEASED = "released"
    SHIPPED = "shipped"
    RETURNED = "returned"
    ADJUSTED = "adjusted"


class ErasureStage(TextChoices):
    """How far the erasure of a customer has come."""

    ORDERS = "orders"
    # Once more, when whoever was at work as it was noted has ended.
    ORDERS_AGAIN = "orders_again"
    ANSWERS = "answers"


MAX_LINES = 500
MAX_BULK = 1000
MAX_QUANTITY = 1_000_000
MAX_ON_HAND = 1_000_000_000
MAX_RESERVATION_MINUTES = 366 * 24 * 60
MAX_SHIPMENTS = 100  # of one order, which shows them all
