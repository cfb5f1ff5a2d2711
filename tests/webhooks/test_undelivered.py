"""What rests without success is kept apart, and an outcome touches no index of the log (docs/adr/0040)."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.db import connection, transaction

from apps.common import clock, partitions
from apps.common.ids import uuid7, uuid7_at
from apps.common.partitions import maintain_partitions
from apps.events.dispatch import stamp
from apps.webhooks.enums import UNDELIVERED, DeliveryStatus
from apps.webhooks.fanout import make_deliveries
from apps.webhooks.models import Delivery, Endpoint, Undelivered
from apps.webhooks.outcomes import record
from apps.webhooks.preparing import prepare
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.situations import take
from tests.webhooks.test_pace import outcome

pytestmark = pytest.mark.django_db(transaction=True)

# What an outcome writes.
CHANGED = {"status", "reason", "attempt_count", "retry_step", "last_status_code", "updated_at"}
KEPT = ("pk", "endpoint_id", "status", "replay_id")


def make(endpoint: Endpoint, statuses: Iterable[str], at: datetime | None = None) -> None:
    Delivery.objects.bulk_create(
        Delivery(
            id=uuid7() if at is None else uuid7_at(at),
            endpoint=endpoint,
            event_id=uuid7(),
            event_type="a.b",
            subject=uuid7(),
            status=status,
        )
        for status in statuses
    )


def assert_kept() -> None:
    logged = Delivery.objects.filter(status__in=UNDELIVERED)
    assert set(Undelivered.objects.values_list(*KEPT)) == set(logged.values_list(*KEPT))


def test_it_follows_every_change_of_the_log(make_endpoint: MakeEndpoint) -> None:
    """Whoever makes it: processes of the release before know nothing of it."""
    endpoint = make_endpoint("http://127.0.0.1:1/")
    for status in DeliveryStatus.values:
        make(endpoint, DeliveryStatus.values)
        assert_kept()
        Delivery.objects.update(status=status)
        assert_kept()
        Delivery.objects.update(replay_id=uuid7())
        assert_kept()


@pytest.mark.django_db  # in a transaction, which takes the weeks back that are made here
def test_it_follows_the_log_into_its_weeks_and_goes_with_them(make_endpoint: MakeEndpoint) -> None:
    """A week takes over what is of it, from where that waited for it."""
    endpoint, old = make_endpoint("http://127.0.0.1:1/"), clock.now() - timedelta(days=60)
    make(endpoint, DeliveryStatus.values)
    make(endpoint, DeliveryStatus.values, old)
    for table in (Delivery._meta.db_table, Undelivered._meta.db_table):
        partitions._create(table, partitions._monday_of(old), 100)
    assert_kept()

    maintain_partitions()

    assert Delivery.objects.count() == len(DeliveryStatus.values)
    assert_kept()
    for status in DeliveryStatus.values:
        Delivery.objects.update(status=status)
        assert_kept()
    make(endpoint, DeliveryStatus.values)
    assert_kept()


def test_what_was_there_before_is_taken_over(make_endpoint: MakeEndpoint) -> None:
    make(make_endpoint("http://127.0.0.1:1/"), DeliveryStatus.values * 3)
    kept = set(Undelivered.objects.values_list("pk"))
    Undelivered.objects.filter(status__in=("failed", "parked")).delete()

    migration = import_module("apps.webhooks.migrations.0012_outcomes_touch_no_index")
    migration.fill(None, SimpleNamespace(connection=connection))

    assert_kept()
    assert set(Undelivered.objects.values_list("pk")) == kept


def test_no_index_of_the_log_has_what_an_outcome_changes() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT a.attname FROM pg_depend d"
            "  JOIN pg_index i ON i.indexrelid = d.objid"
            "  JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid"
            " WHERE d.classid = 'pg_class'::regclass AND i.indrelid = 'webhooks_delivery'::regclass"
        )
        indexed = {name for (name,) in cursor.fetchall()}
    assert {"endpoint_id", "replay_id"} <= indexed
    assert not indexed & CHANGED


def test_outcomes_find_room_beside_what_they_change(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent
) -> None:
    endpoints = [make_endpoint("http://127.0.0.1:1/") for _ in range(100)]
    events = [publish_event(endpoint.account) for endpoint in endpoints]
    stamp()
    make_deliveries(events, limit=1)
    parcels, _ = prepare(take(100), 0.0)

    with transaction.atomic(), connection.cursor() as cursor:
        record([replace(outcome(), parcel=parcel) for parcel in parcels])
        cursor.execute(
            "SELECT sum(n_tup_upd), sum(n_tup_hot_upd) FROM pg_stat_xact_user_tables"
            " WHERE relname LIKE 'webhooks_delivery%%'"
        )
        updated, beside = cursor.fetchone()
    # Rows grow by a few bytes, so that one page or the other may be too full for its last.
    assert updated == 100
    assert beside >= 90
