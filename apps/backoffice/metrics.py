"""`/metrics` for Prometheus: what is owed, read from the database; what happened, from each process."""

import hmac
import os
from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from apps.backoffice.local import is_local
from apps.common import clock
from apps.common.ids import uuid7_floor

# Each gauge is one index range, and counting stops at this many rows.
COUNT_LIMIT = 10_000

# Those with an order and those without stand in an index each.
_READY = (
    "(SELECT due_at FROM webhooks_due WHERE ready AND order_key IS NULL LIMIT %(limit)s)"
    " UNION ALL "
    "(SELECT due_at FROM webhooks_due WHERE ready AND order_key IS NOT NULL LIMIT %(limit)s)"
    " LIMIT %(limit)s"
)

_GAUGES: list[tuple[str, str, list[str], str]] = [
    (
        "tradepost_events_unstamped",
        f"Events without a position (counted to {COUNT_LIMIT})",
        [],
        "SELECT count(*) FROM (SELECT FROM events_event WHERE position IS NULL LIMIT %(limit)s) e",
    ),
    (
        "tradepost_consumer_lag",
        "Events that a consumer has not handled yet",
        ["consumer"],
        "SELECT c.name, n.position - c.position FROM events_consumer c, events_counter n",
    ),
    (
        "tradepost_consumer_failures",
        "Failures in a row of a consumer on its next event",
        ["consumer"],
        "SELECT name, failures FROM events_consumer",
    ),
    (
        "tradepost_deliveries_ready",
        f"Deliveries that wait to be claimed (counted to {COUNT_LIMIT})",
        [],
        f"SELECT count(*) FROM ({_READY}) d",  # noqa: S608 - constants of ours
    ),
    (
        "tradepost_delivery_ready_seconds",
        "How long the longest waiting of them has been due",
        [],
        f"SELECT coalesce(extract(epoch FROM now() - min(due_at)), 0) FROM ({_READY}) d",  # noqa: S608 - constants of ours
    ),
    (
        "tradepost_customers_owed",
        f"Customers of whom HubSpot is owed something (counted to {COUNT_LIMIT})",
        [],
        "SELECT count(*) FROM (SELECT FROM crm_contact WHERE due_at IS NOT NULL LIMIT %(limit)s) c",
    ),
    (
        "tradepost_deals_owed",
        f"Deals sold of which HubSpot is owed something (counted to {COUNT_LIMIT})",
        [],
        "SELECT count(*) FROM (SELECT FROM crm_solddeal WHERE due_at IS NOT NULL LIMIT %(limit)s) d",
    ),
    (
        "tradepost_hubspot_calls_per_hundred_changes",
        "Calls to HubSpot for each 100 customers and deals that it has taken, ever; 1 is the least",
        [],
        "SELECT coalesce(100.0 * sum(calls) / nullif(sum(changed), 0), 0) FROM crm_portal",
    ),
    (
        "tradepost_hubspot_portals",
        "Tokens of HubSpot by what becomes of calls with them",
        ["status"],
        "SELECT status, count(*) FROM crm_portal GROUP BY 1",
    ),
    (
        "tradepost_stream_records_last_hour",
        "Versions of records that runs which began in the last hour have brought",
        [],
        "SELECT coalesce(sum(records_new + records_changed + records_deleted), 0)"
        " FROM datafetch_run WHERE id >= %(hour_ago)s",
    ),
    (
        "tradepost_stream_consumer_lag",
        "Versions of records that the consumer furthest behind has not committed",
        [],
        'SELECT coalesce(max(p.last_offset - c."offset"), 0)'
        " FROM datafetch_consumer c JOIN datafetch_progress p ON p.id = c.stream_id",
    ),
    (
        "tradepost_heartbeat_age_seconds",
        "How long ago a worker of the queue was last seen alive",
        ["queue"],
        "SELECT queue, extract(epoch FROM now() - max(seen_at)) FROM common_heartbeat GROUP BY 1",
    ),
]


class OwedWork(Collector):
    """Gauges that are true for the whole installation, whichever process is asked."""

    def collect(self) -> Iterable[Metric]:
        hour_ago = uuid7_floor(clock.now() - timedelta(hours=1))
        with connection.cursor() as cursor:
            for name, help_text, labels, query in _GAUGES:
                cursor.execute(query, {"limit": COUNT_LIMIT, "hour_ago": hour_ago})
                gauge = GaugeMetricFamily(name, help_text, labels=labels)
                for *values, number in cursor.fetchall():
                    gauge.add_metric(values, float(number))
                yield gauge


def metrics(request: HttpRequest) -> HttpResponse:
    """For the loopback interface, or for who knows METRICS_TOKEN (`Authorization: Bearer …`)."""
    if not (_has_token(request) or is_local(request)):
        raise PermissionDenied
    owed = CollectorRegistry()
    owed.register(OwedWork())
    return HttpResponse(
        generate_latest(owed) + generate_latest(_processes()), content_type=CONTENT_TYPE_LATEST
    )


def _processes() -> CollectorRegistry:
    """The counters of all processes of this host where they share a directory, else of this one."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]  # registers itself
    return shared


def _has_token(request: HttpRequest) -> bool:
    given = request.headers.get("Authorization", "").encode()
    wanted = f"Bearer {settings.METRICS_TOKEN}".encode()
    return bool(settings.METRICS_TOKEN) and hmac.compare_digest(given, wanted)
