"""HubSpot: how far it is behind, what it rejects, and how much of its limits is left."""

from datetime import datetime

from django.conf import settings
from django.db.models import Count, Min
from django.urls import reverse

from apps.backoffice.dashboard import charts
from apps.backoffice.dashboard.hours import last_hours
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
    span,
)
from apps.crm.enums import PortalStatus, SyncState
from apps.crm.models import Connection, Contact, Customer, Portal

MOST_SHOWN = 3
LATE_SECONDS = 300.0
# What becomes of calls with a token -> how bad that is, and how it is said.
_STATUSES = {
    PortalStatus.OK: (Level.FINE, "answers"),
    PortalStatus.THROTTLED: (Level.FINE, "slows us down"),
    PortalStatus.UNAVAILABLE: (Level.ATTENTION, "does not answer"),
    PortalStatus.PARKED: (Level.ATTENTION, "allows no more calls today"),
    PortalStatus.PAUSED: (Level.TROUBLE, "refuses the token"),
}


def build(now: datetime) -> Panel:
    url = reverse("admin:crm_contact_changelist")
    panel = Panel("HubSpot", url)
    if not Customer.objects.exists():
        panel.hint = Hint(
            "No customers yet. Each that is kept here reaches HubSpot by itself.",
            reverse("docs"),
            "POST /customers",
        )
        return panel
    is_connected = bool(settings.HUBSPOT_ACCESS_TOKEN) or Connection.objects.exists()
    panel.stats = [_behind(panel, now, is_connected), _rejected(panel)]
    if is_connected:
        _add_portals(panel)
    else:
        panel.stats.append(Stat("Budget left", "-", "no account has a token"))
    customers = [figures.get("customers", {}) for figures in last_hours("customers", now)[24:]]
    panel.charts.append(
        charts.columns(
            "Customers sent an hour",
            {
                "good": [one.get("synced", 0) for one in customers],
                "bad": [one.get("rejected", 0) for one in customers],
            },
            now,
            legend=(("good", "taken"), ("bad", "rejected")),
        )
    )
    return panel


def _behind(panel: Panel, now: datetime, is_connected: bool) -> Stat:
    owed = Contact.objects.filter(due_at__isnull=False).order_by()[: COUNT_LIMIT + 1]
    found = owed.values("due_at").aggregate(count=Count("due_at"), first=Min("due_at"))
    late = (now - (found["first"] or now)).total_seconds()
    url = f"{panel.url}?state__exact={SyncState.PENDING.value}"
    if not is_connected:
        return Stat("Behind by", number(found["count"]), "waiting for a token", url)
    if late > LATE_SECONDS:
        panel.note(
            Level.ATTENTION, f"HubSpot is behind, by {number(found['count'])} customers", url
        )
    detail = f"the first for {span(late)}" if found["count"] and late > 1 else ""
    return Stat("Behind by", number(found["count"]), detail or "customers", url)


def _rejected(panel: Panel) -> Stat:
    rejected = counted(Contact.objects.filter(state=SyncState.FAILED))
    url = f"{panel.url}?state__exact={SyncState.FAILED.value}"
    if rejected:
        word = "customer" if rejected == 1 else "customers"
        panel.note(Level.ATTENTION, f"HubSpot rejects {number(rejected)} {word}", url)
    level = Level.ATTENTION if rejected else Level.FINE
    return Stat("Rejected", number(rejected), "until they change", url, level=level)


def _add_portals(panel: Panel) -> None:
    """What is left of the limits; a row for each token, those in trouble first."""
    portals = list(Portal.objects.order_by("-failures", "key")[:MOST_SHOWN])
    url = reverse("admin:crm_portal_changelist")
    rows = []
    for portal in portals:
        level, word = _STATUSES[PortalStatus(portal.status)]
        name = f"Portal {portal.hub_id}" if portal.hub_id else f"Token {portal.key[:8]}…"
        rows.append(
            (
                Cell(name, reverse("admin:crm_portal_change", args=[portal.pk])),
                Cell("", chart=_left_of_day(portal)),
                Cell(word, level=level, is_number=True),
            )
        )
        if level > Level.FINE:
            panel.note(level, f"HubSpot {word}", url)
    if rows:
        panel.tables.append(Table(("Token", "Left of today", "HubSpot"), rows))
    panel.stats.append(_budget(portals, url))


def _budget(portals: list[Portal], url: str) -> Stat:
    known = [one for one in portals if one.daily_remaining is not None]
    if not known:
        return Stat("Budget left", "-", "HubSpot has not said yet", url)
    least = min(known, key=lambda one: one.daily_remaining or 0)
    return Stat(
        "Budget left",
        f"{least.daily_remaining:,}",
        f"of {least.daily_limit:,} calls today" if least.daily_limit else "calls today",
        url,
    )


def _left_of_day(portal: Portal) -> charts.Chart | None:
    if not portal.daily_limit or portal.daily_remaining is None:
        return None
    share = portal.daily_remaining / portal.daily_limit
    return charts.meter(share, "good" if share > 0.2 else "warn")
