"""What is at its threshold or below, and whether the counters are what the ledger says."""

from datetime import datetime

from django.db.models import F
from django.urls import reverse

from apps.backoffice.dashboard import charts
from apps.backoffice.dashboard.panel import (
    COUNT_LIMIT,
    Cell,
    Hint,
    Level,
    Panel,
    Stat,
    Table,
    counted,
    number,
)
from apps.orders.models import Product, Stock, StockDrift

MOST_SHOWN = 7


def build(now: datetime) -> Panel:
    low_url = f"{reverse('admin:orders_stock_changelist')}?is_low__exact=1"
    panel = Panel("Stock", low_url)
    if not Product.objects.exists():
        panel.hint = Hint(
            "No products yet. Import a sheet of them, with a threshold to be told when one runs low.",
            reverse("admin:orders_productimport_changelist"),
            "Product imports",
        )
        return panel
    low = counted(Stock.objects.filter(is_low=True))
    out = _out()
    panel.stats = [
        Stat("Low", number(low), "at their threshold or below", low_url, level=_worse(low)),
        Stat("Of these sold out", number(out), "nothing left to order", low_url, level=_worse(out)),
    ]
    if low:
        panel.tables.append(_lowest())
        panel.note(
            Level.ATTENTION, f"{number(low)} {'product is' if low == 1 else 'products are'} low"
        )
    if drifts := counted(StockDrift.objects.all()):
        url = reverse("admin:orders_stockdrift_changelist")
        panel.note(Level.TROUBLE, f"Stock of {number(drifts)} differs from its ledger", url)
    return panel


def _worse(count: int) -> Level:
    return Level.ATTENTION if count else Level.FINE


def _out() -> int:
    """How many of those that are low have nothing left."""
    low = Stock.objects.filter(is_low=True).order_by("pk")[: COUNT_LIMIT + 1]
    return sum(on_hand <= reserved for on_hand, reserved in low.values_list("on_hand", "reserved"))


def _lowest() -> Table:
    """The first of those that are low, those with least left."""
    low = list(
        Stock.objects.filter(is_low=True).order_by(F("on_hand") - F("reserved"), "pk")[:MOST_SHOWN]
    )
    products = Product.objects.in_bulk([stock.pk for stock in low])
    rows = []
    for stock in low:
        product, threshold = products[stock.pk], stock.low_stock_threshold
        share = stock.available / threshold if threshold else 0.0
        chart = charts.meter(share, "warn" if stock.available else "bad")
        rows.append(
            (
                Cell(
                    product.sku,
                    reverse("admin:orders_product_change", args=[product.pk]),
                    detail=product.name,
                ),
                Cell("", chart=chart),
                Cell(
                    f"{stock.available:,}",
                    detail=f"of {threshold:,}" if threshold else "",
                    is_number=True,
                ),
            )
        )
    return Table(("Product", "", "Left"), rows)
