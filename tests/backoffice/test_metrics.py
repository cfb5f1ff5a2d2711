"""What `/metrics` tells of what is owed."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

from apps.backoffice.metrics import _GAUGES, COUNT_LIMIT
from apps.common.ids import uuid7
from apps.webhooks.models import Due
from tests.support.emptying import start_with_new_tables

pytestmark = pytest.mark.django_db


def owe(n: int, **columns: object) -> None:
    """n deliveries of as many endpoints."""
    Due.objects.bulk_create(
        Due(**{"id": uuid7(), "endpoint_id": uuid7(), "due_at": Now(), **columns}) for _ in range(n)
    )


def gauge(name: str) -> float:
    lines = Client().get("/metrics").content.decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def test_deliveries_that_wait_are_counted_with_an_order_and_without() -> None:
    owe(3)
    owe(2, order_key=uuid7(), position=1, due_at=Now() - timedelta(hours=1))
    owe(4, ready=False)

    assert gauge("tradepost_deliveries_ready") == 5
    assert gauge("tradepost_delivery_ready_seconds") > 3500


@pytest.mark.parametrize("name", ["tradepost_deliveries_ready", "tradepost_delivery_ready_seconds"])
def test_what_waits_is_found_by_index_among_many_that_are_not_due(name: str) -> None:
    start_with_new_tables()
    owe(5_000, ready=False)
    owe(5)
    query = next(query for one, _, _, query in _GAUGES if one == name)

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE webhooks_due")
        cursor.execute(f"EXPLAIN {query}", {"limit": COUNT_LIMIT})
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "Seq Scan" not in plan, plan
