"""What orders listen to: their own events, to tell when stock runs low."""

from collections.abc import Sequence

from apps.common import clock
from apps.common.actor import system
from apps.events.models import Event
from apps.events.subscriptions import subscribe
from apps.orders import selectors
from apps.orders.services.ledger import tell_low_stock

LOW_STOCK = "orders.low_stock"


# The types that can lower what is available: items also change on the way to confirmed and shipped.
@subscribe(LOW_STOCK, types=("order.created", "order.updated", "order.confirmed", "order.shipped"))
def on_stock_reserved(events: Sequence[Event]) -> None:
    """Tell of each product of these orders that fell to its threshold, once per fall."""
    low = selectors.low_products(event.subject for event in events)
    if low:
        tell_low_stock(low, actor=system(LOW_STOCK), at=clock.now())
