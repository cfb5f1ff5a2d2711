"""Orders and revenue of the last 24 hours, against the 24 before, in all and by storefront."""

from collections.abc import Sequence
from datetime import datetime

from django.urls import reverse

from apps.backoffice.dashboard import charts
from apps.backoffice.dashboard.folds import Figures, added
from apps.backoffice.dashboard.hours import last_hours
from apps.backoffice.dashboard.panel import (
    Cell,
    Hint,
    Level,
    Panel,
    Stat,
    Table,
    of_day_before,
    trend,
)
from apps.common.money import display
from apps.orders.models import Storefront

MOST_CURRENCIES = 2
MOST_STOREFRONTS = 6
# So many orders in the same two hours of the day before, and none now, is a silence.
TELLING = 20


def build(now: datetime) -> Panel:
    panel = Panel("Orders", reverse("admin:orders_order_changelist"))
    if not Storefront.objects.exists():
        panel.hint = Hint(
            "Nothing is sold here yet. Make a storefront and a product, then place the first order.",
            reverse("docs"),
            "POST /storefronts",
        )
        return panel
    hours = last_hours("orders", now)
    before, last = hours[:24], hours[24:]
    placed, placed_before = _of(last, "orders", "placed"), _of(before, "orders", "placed")
    lost = sum(_of(last, "orders", "lost"))
    panel.stats.append(
        Stat(
            "Orders in 24 hours",
            f"{sum(placed):,}",
            f"{lost:,} came to nothing" if lost else "",
            panel.url,
            trend(sum(placed), of_day_before(placed_before, now)),
        )
    )
    panel.charts.append(
        charts.columns("Orders an hour", {"main": placed}, now, before=placed_before)
    )
    _add_revenue(panel, before, last, now)
    panel.tables.append(_storefronts(last, before, now))
    if sum(placed[-2:]) == 0 and sum(placed_before[-2:]) >= TELLING:
        panel.note(Level.ATTENTION, "No order for more than an hour, unlike the day before")
    return panel


def _of(hours: Sequence[Figures], name: str, member: str) -> list[int]:
    return [figures.get(name, {}).get(member, 0) for figures in hours]


def _add_revenue(panel: Panel, before: list[Figures], last: list[Figures], now: datetime) -> None:
    """A figure for each of the currencies with most, a chart for the first."""
    totals = added([{}, *last, *before]).get("revenue", {})
    most = sorted(totals, key=lambda currency: -totals[currency])[:MOST_CURRENCIES]
    for place, currency in enumerate(most):
        now_, then = _of(last, "revenue", currency), _of(before, "revenue", currency)
        panel.stats.append(
            Stat(
                "Revenue in 24 hours" if place == 0 else f"and in {currency}",
                display(sum(now_), currency),
                url=panel.url,
                trend=trend(sum(now_), of_day_before(then, now)),
            )
        )
        if place == 0:
            panel.charts.append(
                charts.columns(
                    f"Revenue an hour, {currency}",
                    {"main": now_},
                    now,
                    before=then,
                    say=lambda value: display(int(value), currency),  # noqa: B023 - used at once
                )
            )


def _storefronts(last: list[Figures], before: list[Figures], now: datetime) -> Table:
    orders = added(last).get("orders_of", {})
    revenue = added(last).get("revenue_of", {})
    most = sorted(orders, key=lambda key: -orders[key])[:MOST_STOREFRONTS]
    found = {str(one.pk): one for one in Storefront.objects.filter(pk__in=most)}
    rows = []
    for key in most:
        if (storefront := found.get(key)) is None:
            continue
        change = trend(orders[key], of_day_before(_of(before, "orders_of", key), now))
        rows.append(
            (
                Cell(
                    storefront.name,
                    f"{reverse('admin:orders_order_changelist')}?q={key}",
                    chart=charts.sparkline(_of(last, "orders_of", key)),
                ),
                Cell(f"{orders[key]:,}", detail=change.text if change else "", is_number=True),
                Cell(display(revenue.get(key, 0), storefront.currency), is_number=True),
            )
        )
    return Table(("Storefront", "Orders", "Revenue"), rows)
