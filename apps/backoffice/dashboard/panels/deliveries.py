"""Whether webhooks arrive: how many tries succeed, how long it takes, what waits, which endpoints fail."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection
from django.urls import reverse

from apps.backoffice.dashboard import charts
from apps.backoffice.dashboard.folds import Figures, added
from apps.backoffice.dashboard.hours import last_hours
from apps.backoffice.dashboard.latency import quantile
from apps.backoffice.dashboard.panel import (
    COUNT_LIMIT,
    Cell,
    Hint,
    Level,
    Panel,
    Stat,
    Table,
    ago,
    counted,
    number,
    span,
)
from apps.common.ids import uuid7_floor
from apps.webhooks.enums import DeliveryStatus, EndpointStatus
from apps.webhooks.models import Due, Endpoint, Pace, Undelivered

MOST_SHOWN = 5
# Of fewer tries in an hour no share is judged.
TELLING = 20
# What is ready is sent within milliseconds; so long says that nobody sends.
LATE_SECONDS = 60.0

# Those with an order and those without stand in an index each.
_READY = """
SELECT count(*), coalesce(extract(epoch FROM now() - min(due_at)), 0)::float8 FROM (
  (SELECT due_at FROM webhooks_due WHERE ready AND order_key IS NULL LIMIT %(limit)s)
  UNION ALL
  (SELECT due_at FROM webhooks_due WHERE ready AND order_key IS NOT NULL LIMIT %(limit)s)
  LIMIT %(limit)s) d
"""


def build(now: datetime) -> Panel:
    url = reverse("admin:webhooks_delivery_changelist")
    panel = Panel("Webhooks", url)
    if not Endpoint.objects.exists():
        panel.hint = Hint(
            "Nobody listens yet. Register an endpoint, and every change is sent to it, signed.",
            reverse("docs"),
            "POST /webhook-endpoints",
        )
        return panel
    hours = last_hours("deliveries", now)[24:]
    tries = {
        kind: [figures.get("tries", {}).get(kind, 0) for figures in hours]
        for kind in ("ok", "failed")
    }
    panel.stats = [*_success(tries, url), *_took(hours), *_waiting(panel), _given_up(now, url)]
    panel.charts = [_tries_chart(tries, now), _took_chart(hours, now)]
    _judge_tries(panel, tries)
    _add_failing(panel, now)
    return panel


def _success(tries: dict[str, list[int]], url: str) -> list[Stat]:
    ok, failed = sum(tries["ok"]), sum(tries["failed"])
    if not ok + failed:
        return [Stat("Success", "-", "nothing was sent in 24 hours", url)]
    share = ok / (ok + failed)
    return [
        Stat("Success", _percent(share), f"of {ok + failed:,} tries", url, level=_level_of(share))
    ]


def _percent(share: float) -> str:
    """Rounded down, so that 100 % is said of all alone."""
    return "100 %" if share == 1 else f"{int(share * 1000) / 10:.1f} %"


def _level_of(share: float) -> Level:
    if share >= 0.95:
        return Level.FINE
    return Level.ATTENTION if share >= 0.8 else Level.TROUBLE


def _took(hours: list[Figures]) -> list[Stat]:
    took = added(hours).get("took", {})
    half, most = quantile(took, 0.5), quantile(took, 0.95)
    if half is None or most is None:
        return []
    return [
        Stat("Delivered in", span(half / 1000), f"half; 95 % in {span(most / 1000)}"),
    ]


def _waiting(panel: Panel) -> list[Stat]:
    with connection.cursor() as cursor:
        cursor.execute(_READY, {"limit": COUNT_LIMIT + 1})
        ready, oldest = cursor.fetchone()
    retries = counted(Due.objects.filter(ready=False, lease_id=None))
    if oldest > LATE_SECONDS:
        panel.note(Level.TROUBLE, f"Deliveries wait to be sent, the first for {span(oldest)}")
    return [
        Stat(
            "To be sent",
            number(ready),
            f"the first for {span(oldest)}" if ready else "nothing waits",
            f"{panel.url}?status={DeliveryStatus.PENDING.value}",
            level=Level.TROUBLE if oldest > LATE_SECONDS else Level.FINE,
        ),
        Stat(
            "To retry",
            number(retries),
            url=f"{panel.url}?status={DeliveryStatus.PENDING.value}",
        ),
    ]


def _given_up(now: datetime, url: str) -> Stat:
    day_ago = uuid7_floor(now - timedelta(days=1))
    failed = counted(Undelivered.objects.filter(status=DeliveryStatus.FAILED, pk__gte=day_ago))
    return Stat(
        "Given up",
        number(failed),
        "of those of 24 hours",
        f"{url}?status={DeliveryStatus.FAILED.value}",
        level=Level.ATTENTION if failed else Level.FINE,
    )


def _tries_chart(tries: dict[str, list[int]], now: datetime) -> charts.Chart:
    return charts.columns(
        "Tries an hour",
        {"good": tries["ok"], "bad": tries["failed"]},
        now,
        legend=(("good", "answered 2xx"), ("bad", "failed")),
    )


def _took_chart(hours: Sequence[Figures], now: datetime) -> charts.Chart:
    took = [figures.get("took", {}) for figures in hours]
    return charts.lines(
        "From event to answer",
        {"p95": [quantile(one, 0.95) for one in took], "p50": [quantile(one, 0.5) for one in took]},
        now,
        legend=(("p50", "half within"), ("p95", "95 % within")),
        say=lambda milliseconds: span(milliseconds / 1000),
    )


def _judge_tries(panel: Panel, tries: dict[str, list[int]]) -> None:
    """By the last two hours: what went wrong before is history."""
    ok, failed = sum(tries["ok"][-2:]), sum(tries["failed"][-2:])
    if ok + failed >= TELLING and (level := _level_of(ok / (ok + failed))) > Level.FINE:
        panel.note(level, f"Only {_percent(ok / (ok + failed))} of webhook calls succeed")


def _add_failing(panel: Panel, now: datetime) -> None:
    failing = Endpoint.objects.filter(status=EndpointStatus.FAILING, deleted_at=None)
    count = counted(failing)
    if not count:
        return
    url = f"{reverse('admin:webhooks_endpoint_changelist')}?status__exact={EndpointStatus.FAILING.value}"
    panel.note(
        Level.ATTENTION,
        f"{number(count)} webhook {'endpoint fails' if count == 1 else 'endpoints fail'}",
        url,
    )
    first = list(failing.order_by("pk").values_list("pk", "url")[:MOST_SHOWN])
    paces = Pace.objects.in_bulk([pk for pk, _ in first])
    rows = []
    for pk, address in first:
        pace = paces.get(pk)
        since = ago(pace.failing_since, now) if pace and pace.failing_since else ""
        rows.append(
            (
                Cell(address, reverse("admin:webhooks_endpoint_change", args=[pk])),
                Cell(f"{pace.failures:,}" if pace else "", level=Level.ATTENTION, is_number=True),
                Cell(since, is_number=True),
            )
        )
    panel.tables.append(Table(("Failing endpoint", "Failures", "Since"), rows))
