"""What the CRM listens to: orders, for the figures of their customers."""

from collections.abc import Sequence

from apps.crm.services.folding import ERASED, fold
from apps.events.models import Event
from apps.events.subscriptions import subscribe

ORDERS = "crm.orders"


# One cursor for both: an order placed before its customer is erased has been folded by then.
@subscribe(ORDERS, types=("order.*", ERASED))
def on_orders(events: Sequence[Event]) -> None:
    """Fold orders, a row each, by their newest event."""
    fold(events)
