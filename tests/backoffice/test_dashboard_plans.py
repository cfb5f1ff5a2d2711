"""Reading at size: on 30,000 orders and events, and 60,000 deliveries, no panel reads a growing table as a whole, and
what each reads is bounded."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.backoffice.dashboard.folds import FOLDS, parameters
from apps.backoffice.dashboard.hours import HOUR, count_hours
from apps.backoffice.dashboard.panel import COUNT_LIMIT
from apps.common import clock
from bench.filling import fill_tables
from tests.support.emptying import start_with_new_tables

ORDERS = 30_000
# Whatever grows with the business: a few storefronts, endpoints, streams and jobs are read as a whole.
BIG = {
    "orders_order",
    "orders_stock",
    "orders_product",
    "events_event",
    "webhooks_delivery",
    "webhooks_undelivered",
    "webhooks_attempt",
    "deals_deal",
    "deals_bid",
    "deals_invoice",
    "crm_customer",
    "crm_contact",
    "crm_syncattempt",
    "datafetch_run",
}
# Of 60,000 in 30 days, with two and a half times as many at noon.
MOST_OF_AN_HOUR = 1_000
# Whatever there is to be shown: about as many as there are figures.
MOST_QUERIES = 90

pytestmark = [pytest.mark.django_db, pytest.mark.slow, pytest.mark.timeout(600)]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def table_of(node: dict[str, Any]) -> str:
    """The table that a node reads; of a partition, the one that it is part of."""
    name: str = node.get("Relation Name", "")
    return next((big for big in BIG if name == big or name.startswith(f"{big}_2")), name)


def plan_of(statement: str, values: dict[str, Any]) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
        (text,) = cursor.fetchone()
    (explained,) = orjson.loads(text) if isinstance(text, str) else text
    plan: dict[str, Any] = explained["Plan"]
    return plan


def assert_reads_little(plan: dict[str, Any], what: object, most: float) -> None:
    for node in nodes(plan):
        if table_of(node) not in BIG:
            continue
        read = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        assert node["Node Type"] != "Seq Scan" or read <= 1, (what, node)  # whether there is any
        assert read <= most, (what, node)


def test_no_growing_table_is_read_as_a_whole() -> None:
    """Neither by the job nor by a panel. One test, because filling takes its time."""
    start_with_new_tables()
    fill_tables(ORDERS)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    an_hour_is_counted_by_its_range_of_ids()
    while count_hours():
        pass
    browser = Client()
    browser.force_login(User.objects.create_superuser("boss"))
    browser.get("/admin/dashboard")

    with CaptureQueriesContext(connection) as queries:
        page = browser.get("/admin/dashboard").content.decode()

    assert "Not available" not in page
    asked = [query["sql"] for query in queries]
    assert len(asked) <= MOST_QUERIES, asked
    read = [one for one in asked if one.lstrip().startswith(("SELECT", "WITH"))]
    assert len(read) > 20
    for statement in read:
        assert_reads_little(plan_of(statement.replace("%", "%%"), {}), statement, COUNT_LIMIT + 1)


def an_hour_is_counted_by_its_range_of_ids() -> None:
    now = clock.now()
    start = now.replace(minute=0, second=0, microsecond=0) - 5 * HOUR
    for kind, fold in FOLDS.items():
        plan = plan_of(fold.statement, parameters(start, start + HOUR))
        assert_reads_little(plan, kind, MOST_OF_AN_HOUR)
