"""The dashboard as a page, and as what an open page asks for again and again.

Each panel stands alone: with a limit on its statements, seen by those who may see what is in it, and where it
cannot be had it says so and the others are there.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import structlog
from django.contrib import admin
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from apps.backoffice.dashboard.panel import Level, Panel
from apps.backoffice.dashboard.panels import (
    customers,
    deals,
    deliveries,
    machinery,
    orders,
    stock,
    streams,
)
from apps.common import clock

STATEMENT_MILLISECONDS = 1000

log = structlog.get_logger(__name__)


class Entry(NamedTuple):
    """A panel, who may see it (all of these rights), and where it leads when it cannot be had."""

    key: str
    title: str
    icon: str
    rights: tuple[str, ...]
    build: Callable[[datetime], Panel]


PANELS = (
    Entry("orders", "Orders", "shopping_cart", ("orders.view_order",), orders.build),
    Entry(
        "webhooks",
        "Webhooks",
        "webhook",
        ("webhooks.view_delivery", "webhooks.view_endpoint"),
        deliveries.build,
    ),
    Entry("deals", "Deals", "handshake", ("deals.view_deal", "deals.view_invoice"), deals.build),
    Entry(
        "stock", "Stock", "inventory_2", ("orders.view_stock", "orders.view_product"), stock.build
    ),
    Entry(
        "streams",
        "Data fetch",
        "sync",
        ("datafetch.view_stream", "datafetch.view_run", "datafetch.view_consumer"),
        streams.build,
    ),
    Entry("hubspot", "HubSpot", "hub", ("crm.view_contact", "crm.view_portal"), customers.build),
    Entry(
        "workers",
        "Workers",
        "memory",
        ("common.view_jobrun", "events.view_event", "events.view_consumer"),
        machinery.build,
    ),
)


class Shown(NamedTuple):
    """A panel of the page; without `panel` it is not available."""

    entry: Entry
    panel: Panel | None


def add_dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What unfold's index page is given besides its own (DASHBOARD_CALLBACK)."""
    return {**context, "title": "Dashboard", **_overview(request)}


@require_GET
def dashboard(request: HttpRequest) -> HttpResponse:
    """The panels alone, as they are now: what an open page replaces its own with."""
    return render(request, "admin/dashboard/panels.html", _overview(request))


def _overview(request: HttpRequest) -> dict[str, Any]:
    now = clock.now()
    shown = [
        Shown(entry, _built(entry, now)) for entry in PANELS if request.user.has_perms(entry.rights)
    ]
    notes = [note for one in shown if one.panel for note in one.panel.notes]
    missing = [one.entry for one in shown if one.panel is None]
    levels = [Level.TROUBLE for _ in missing] + [note.level for note in notes]
    return {
        "panels": shown,
        "notes": sorted(notes, key=lambda note: -note.level),
        "missing": missing,
        "level": max(levels, default=Level.FINE),
        "to_look_at": len(levels),
        "is_empty": any(_is_empty(one) for one in shown)
        and not any(_is_used(one) for one in shown),
        "moment": now,
        "poll_url": reverse("dashboard"),
    }


def _is_empty(one: Shown) -> bool:
    return one.panel is not None and one.panel.hint is not None


def _is_used(one: Shown) -> bool:
    """Whether a business has anything; the workers run from the start."""
    return one.panel is not None and one.panel.hint is None and one.entry.key != "workers"


def _built(entry: Entry, now: datetime) -> Panel | None:
    """The panel, or None when it could not be built: whatever it was, the others can be."""
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_MILLISECONDS}")
            return entry.build(now)
    except Exception:
        log.exception("panel_failed", panel=entry.key)
        return None


dashboard_view = admin.site.admin_view(dashboard)
