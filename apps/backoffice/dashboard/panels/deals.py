"""Deals and bids as they are now, the auctions that end next, and how many came in each hour."""

from datetime import datetime, timedelta

from django.urls import reverse

from apps.backoffice.dashboard import charts
from apps.backoffice.dashboard.hours import last_hours
from apps.backoffice.dashboard.panel import (
    Cell,
    Hint,
    Level,
    Panel,
    Stat,
    Table,
    counted,
    number,
    of_day_before,
    span,
    trend,
)
from apps.common.money import display
from apps.deals.enums import BidStatus, DealStatus
from apps.deals.models import Bid, Deal

MOST_SHOWN = 5
SOON = timedelta(minutes=10)
# An auction is closed within seconds of its end.
OVERDUE = timedelta(minutes=1)


def build(now: datetime) -> Panel:
    url = reverse("admin:deals_deal_changelist")
    panel = Panel("Deals", f"{url}?status__exact={DealStatus.AVAILABLE.value}")
    if not Deal.objects.exists():
        panel.hint = Hint(
            "No deals yet. A seller authorises its buyers and offers the first deal.",
            reverse("docs"),
            "POST /deals",
        )
        return panel
    hours = last_hours("deals", now)
    made = {
        what: [figures.get("made", {}).get(what, 0) for figures in hours]
        for what in ("deals", "bids", "invoices")
    }
    available = Deal.objects.filter(status=DealStatus.AVAILABLE)
    auctions = available.filter(auction_ends_at__isnull=False)
    new, new_before = sum(made["deals"][24:]), of_day_before(made["deals"][:24], now)
    panel.stats = [
        Stat("Live", number(counted(available)), f"{new:,} new", panel.url, trend(new, new_before)),
        Stat(
            "Open bids", number(counted(Bid.objects.filter(status=BidStatus.ACTIVE))), url=panel.url
        ),
        Stat("Auctions", number(counted(auctions)), url=panel.url),
        Stat(
            "Invoices",
            f"{sum(made['invoices'][24:]):,}",
            "in 24 hours",
            reverse("admin:deals_invoice_changelist"),
        ),
    ]
    panel.charts.append(
        charts.columns("Bids an hour", {"main": made["bids"][24:]}, now, before=made["bids"][:24])
    )
    ending = list(auctions.order_by("auction_ends_at")[:MOST_SHOWN])
    if ending:
        panel.tables.append(_ending(ending, now))
        _judge(panel, ending[0], now)
    return panel


def _judge(panel: Panel, first: Deal, now: datetime) -> None:
    ends = first.auction_ends_at
    if ends is not None and ends < now - OVERDUE:
        late = span((now - ends).total_seconds())
        panel.note(Level.TROUBLE, f"An auction ended {late} ago and is not closed")


def _ending(deals: list[Deal], now: datetime) -> Table:
    rows = []
    for deal in deals:
        left = ((deal.auction_ends_at or now) - now).total_seconds()
        level = Level.ATTENTION if left < SOON.total_seconds() else Level.FINE
        best = "no bid" if deal.best_bid is None else display(deal.best_bid, deal.currency)
        rows.append(
            (
                Cell(deal.name, reverse("admin:deals_deal_change", args=[deal.pk])),
                Cell(best, is_number=True),
                Cell(span(left) if left > 0 else "now", level=level, is_number=True),
            )
        )
    return Table(("Auctions ending next", "Best bid", "Ends in"), rows)
