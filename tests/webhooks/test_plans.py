"""Plans are made once for a connection, often while nothing is owed: they must do for thousands of rows."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from apps.common.ids import uuid7
from apps.events.dispatch import stamp
from apps.webhooks.claims import Turns, claim
from apps.webhooks.enums import Lane
from apps.webhooks.fanout import make_deliveries
from apps.webhooks.limits import ENDPOINT_CAP, FAST_ENDPOINTS, HAND
from apps.webhooks.models import Attempt, Delivery, Due
from apps.webhooks.outcomes import record
from apps.webhooks.preparing import prepare
from apps.webhooks.transport import Outcome
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.situations import take
from tests.webhooks.test_pace import outcome

pytestmark = pytest.mark.django_db(transaction=True)

EVENTS, OTHERS = 20, 3000

_READ = """
SELECT seq_tup_read, COALESCE(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
 WHERE relname = 'webhooks_due'
"""

_SCANS = """
SELECT idx_scan + seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'webhooks_due'
"""


def read_by(work: Callable[[], object]) -> tuple[int, int]:
    """How many rows of what is owed were read from end to end, and by an index."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")  # what was read before is not counted
    with transaction.atomic(), connection.cursor() as cursor:
        work()
        cursor.execute(_READ)
        found: tuple[int, int] = cursor.fetchone()
    return found


def go_round(events: list[UUID]) -> list[tuple[int, int]]:
    """What making, claiming and recording deliveries of these events read."""
    made: list[UUID] = []
    reads = [
        read_by(
            lambda: made.extend(
                one.delivery_id
                for one in make_deliveries(
                    events, limit=FAST_ENDPOINTS, slots=100, lease_id=uuid7(), holder="me"
                )
            )
        )
    ]
    Due.objects.filter(pk__in=made).update(ready=True, lease_id=None, lease_until=None)
    outcomes: list[Outcome] = []

    def claim_and_prepare() -> None:
        parcels, _ = prepare(take(1000), 0.0)
        outcomes.extend(replace(outcome(), parcel=parcel) for parcel in parcels)

    reads.append(read_by(claim_and_prepare))
    reads.append(read_by(lambda: record(outcomes)))
    return reads


def test_plans_made_while_nothing_is_owed_do_for_thousands(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent
) -> None:
    endpoints = [make_endpoint("http://127.0.0.1:1/") for _ in range(EVENTS)]
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE webhooks_due")
        cursor.execute("VACUUM ANALYZE webhooks_due")
        cursor.execute("DISCARD PLANS")
    first = [publish_event(endpoint.account) for endpoint in endpoints]
    stamp()
    go_round(first)
    lease = {"lease_id": uuid7(), "lease_until": Now() + timedelta(hours=1), "ready": False}
    Due.objects.bulk_create(
        Due(id=uuid7(), endpoint_id=uuid7(), due_at=Now() + timedelta(hours=1), **lease)
        for _ in range(OTHERS)
    )

    second = [publish_event(endpoint.account) for endpoint in endpoints]
    stamp()
    reads = go_round(second)

    assert Delivery.objects.filter(status="delivered").count() == 2 * EVENTS
    assert Attempt.objects.count() == 2 * EVENTS
    assert [whole for whole, _ in reads] == [0, 0, 0]
    assert max(by_index for _, by_index in reads) < EVENTS * ENDPOINT_CAP


def test_longer_hands_are_not_looked_for_where_nothing_is_ready() -> None:
    """In three lanes, with hands for as many endpoints as answer well."""
    hands = {uuid7(): HAND for _ in range(OTHERS // 10)}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")  # what was read before is not counted

    with transaction.atomic(), connection.cursor() as cursor:
        claim(turns=Turns(), room=[HAND] * len(Lane), lease_id=uuid7(), holder="me", hands=hands)
        cursor.execute(_SCANS)
        (scans,) = cursor.fetchone()

    assert scans < len(hands) / 10
