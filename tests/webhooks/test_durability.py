"""Which transactions wait for the disk (docs/adr/0044)."""

from collections.abc import Callable

import pytest
from django.db import connection, transaction

from apps.events.dispatch import stamp
from apps.events.models import Event
from apps.webhooks.fanout import make_deliveries
from apps.webhooks.models import Delivery
from apps.webhooks.outcomes import record
from tests.webhooks.conftest import MakeEndpoint, PublishEvent

pytestmark = pytest.mark.django_db(transaction=True)


def waits_after(work: Callable[[], object]) -> bool:
    """Whether the commit of a transaction that does this waits for the disk."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = on")  # which a server for tests is without
        work()
        cursor.execute("SHOW synchronous_commit")
        return bool(cursor.fetchone()[0] == "on")


def test_a_stamp_waits_for_the_disk_and_a_fan_out_does_not(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent
) -> None:
    publish_event(make_endpoint("https://receiver.example/").account)
    ids = list(Event.objects.values_list("pk", flat=True))

    assert waits_after(stamp)
    assert not waits_after(lambda: make_deliveries(ids, limit=10))
    assert Delivery.objects.count() == 1


def test_outcomes_do_not_wait_for_the_disk() -> None:
    assert not waits_after(lambda: record([]))


def test_what_did_not_wait_changes_nothing_for_the_next_transaction(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent
) -> None:
    publish_event(make_endpoint("https://receiver.example/").account)
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = on")
        try:
            make_deliveries(list(Event.objects.values_list("pk", flat=True)), limit=10)
            cursor.execute("SHOW synchronous_commit")
            assert cursor.fetchone() == ("on",)
        finally:
            cursor.execute("RESET synchronous_commit")
