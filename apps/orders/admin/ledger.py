"""The ledger of stock as a panel: of an order, or of a product."""

from django.db.models import QuerySet

from apps.common.admin.panels import LIMIT, Panel, name_actors, shown_actor
from apps.common.admin.shown import age, link, list_of, page_of
from apps.orders.models import StockMovement


def ledger(movements: "QuerySet[StockMovement]", query: str) -> Panel:
    """The newest of the movements; `query` finds all of them in their list."""
    newest = list(movements.order_by("-id")[:LIMIT])
    known = name_actors(movement.actor for movement in newest)
    rows = [
        (
            age(movement.created_at),
            link(page_of(movement.product), movement.product.sku),
            movement.kind,
            f"{movement.on_hand:+,}",
            f"{movement.reserved:+,}",
            movement.reason or "-",
            shown_actor(movement.actor, known),
        )
        for movement in newest
    ]
    headers = ("when", "product", "why", "on hand", "reserved", "reason", "who")
    return Panel("Stock ledger", headers, rows, list_of(StockMovement, query))
