"""Endpoints, what is owed to them, and what was sent."""

from apps.webhooks.models.deliveries import KEPT, Attempt, Delivery, Due, FanOut, Undelivered
from apps.webhooks.models.endpoints import Endpoint, Pace, RetiredSecret
from apps.webhooks.models.replays import Replay

__all__ = [
    "KEPT",
    "Attempt",
    "Delivery",
    "Due",
    "Endpoint",
    "FanOut",
    "Pace",
    "Replay",
    "RetiredSecret",
    "Undelivered",
]
