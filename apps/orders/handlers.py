"""What orders listen to: their own events, to tell when stock runs low, and the erasure of customers."""

from collections.abc import Sequence

import orjson

from apps.common import clock
from apps.common.actor import system
from apps.events.models import Event
from apps.events.subscriptions import subscribe
from apps.orders import selectors
from apps.orders.services.erasing import owe_erasure
from apps.orders.services.ledger import tell_low_stock

LOW_STOCK = "orders.low_stock"
ERASURE = "orders.erasure"


# The types that can lower what is available: items also change on the way to confirmed and shipped.
@subscribe(LOW_STOCK, types=("order.created", "order.updated", "order.confirmed", "order.shipped"))
def on_stock_reserved(events: Sequence[Event]) -> None:
    """Tell of each product of these orders that fell to its threshold, once per fall."""
    low = selectors.low_products(event.subject for event in events)
    if low:
        tell_low_stock(low, actor=system(LOW_STOCK), at=clock.now())


@subscribe(ERASURE, types=("customer.erased",))
def on_customer_erased(events: Sequence[Event]) -> None:
    """Owe the erasure of each customer from the orders of its account, which know it by the
    `external_id`. The event's type is another app's; it need not be installed."""
    for event in events:
        customer = orjson.loads(bytes(event.payload))["data"]["object"]
        if customer.get("external_id"):
            owe_erasure(account_id=event.account_id, customer_id=customer["external_id"])
