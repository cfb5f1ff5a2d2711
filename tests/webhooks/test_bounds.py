"""How much may be under way to an endpoint, whoever takes it: claims and fan-outs of several processes that meet.

Each takes what the other's transaction, which has not committed yet, does not show; the second one has counted, or
waits to count, when the first commits.
"""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.db.models import Min
from django.db.models.functions import Now

from apps.common.ids import uuid7
from apps.events.dispatch import dispatch, stamp
from apps.events.models import Event
from apps.webhooks.claims import Claimed, Turns, claim
from apps.webhooks.delivering import delivering
from apps.webhooks.enums import Lane
from apps.webhooks.fanout import Made, make_deliveries
from apps.webhooks.limits import CLAIM_BATCH, ENDPOINT_CAP, FAST_ENDPOINTS, LEASE_SECONDS
from apps.webhooks.models import Delivery, Due, Endpoint, Pace
from apps.webhooks.services import redeliver
from tests.support import Receiver, background, somebody_waits_for_a_lock, uncommitted, wait_until
from tests.webhooks.conftest import MakeEndpoint, PublishEvent

pytestmark = pytest.mark.django_db(transaction=True)

NOWHERE = "http://127.0.0.1:1/"
HAND = 40

Take = Callable[[], list[Claimed] | list[Made]]


def claiming(endpoint: Endpoint, holder: str) -> Take:
    """A claim of a process that may hold a long hand for the endpoint."""

    def take() -> list[Claimed]:
        room = [CLAIM_BATCH] * len(Lane)
        hands = {endpoint.id: HAND}
        return claim(turns=Turns(), room=room, lease_id=uuid7(), holder=holder, hands=hands)

    return take


def fanning_out(endpoint: Endpoint, holder: str, *events: UUID) -> Take:
    """The fan-out of these events, or of all, by such a process."""

    def take() -> list[Made]:
        return make_deliveries(
            events or list(Event.objects.values_list("id", flat=True)),
            limit=FAST_ENDPOINTS,
            slots=CLAIM_BATCH,
            lease_id=uuid7(),
            holder=holder,
            hands={endpoint.id: HAND},
        )

    return take


def meet(first: Take, second: Take) -> None:
    """The second begins when the first has taken something, which commits when the second has ended, or waits for it."""
    with ExitStack() as ended, ExitStack() as committed:
        committed.enter_context(uncommitted(first))
        later = ended.enter_context(background(second))
        wait_until(lambda: later.done() or somebody_waits_for_a_lock())


def under_way(**which: Any) -> int:
    return Due.objects.filter(lease_id__isnull=False, **which).count()


def owe(endpoint: Endpoint, n: int, lane: Lane, **columns: Any) -> None:
    """Deliveries whose time has just come, as that of a retry, or the end of a dead process's lease."""
    past = Now() - timedelta(seconds=1)
    Due.objects.bulk_create(
        Due(id=uuid7(), endpoint_id=endpoint.id, ready=False, due_at=past, lane=lane, **columns)
        for _ in range(n)
    )


@pytest.fixture
def endpoint(make_endpoint: MakeEndpoint) -> Endpoint:
    return make_endpoint(NOWHERE)


BOTH_WAYS = pytest.mark.parametrize(
    ("first", "second"),
    [(claiming, fanning_out), (fanning_out, claiming), (claiming, claiming)],
    ids=["claim and fan-out", "fan-out and claim", "two claims"],
)


@BOTH_WAYS
@pytest.mark.parametrize("lane", [Lane.FIRST, Lane.RETRY, Lane.REPLAY])
def test_no_more_than_the_cap_is_under_way_or_all_of_it_is_one_process_s(
    endpoint: Endpoint, publish_event: PublishEvent, lane: Lane, first: Any, second: Any
) -> None:
    owe(endpoint, HAND, lane)
    for _ in range(2 * ENDPOINT_CAP):
        publish_event(endpoint.account)
    stamp()

    meet(first(endpoint, "one"), second(endpoint, "another"))

    holders = set(Due.objects.exclude(lease_id=None).values_list("holder", flat=True))
    assert under_way() > 0
    assert under_way() <= (HAND if len(holders) == 1 else ENDPOINT_CAP)


@BOTH_WAYS
@pytest.mark.parametrize("places", [1, 2, 4])
def test_an_endpoint_that_is_tried_out_gets_no_more_than_its_trials(
    endpoint: Endpoint, publish_event: PublishEvent, places: int, first: Any, second: Any
) -> None:
    Pace.objects.create(endpoint_id=endpoint.id, places=places)
    owe(endpoint, ENDPOINT_CAP, Lane.RETRY)
    for _ in range(ENDPOINT_CAP):
        publish_event(endpoint.account)
    stamp()

    meet(first(endpoint, "one"), second(endpoint, "another"))

    assert 1 <= under_way() <= places


@BOTH_WAYS
def test_a_rate_s_moments_are_given_once(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, first: Any, second: Any
) -> None:
    endpoint = make_endpoint(NOWHERE, rate_limit=2)
    owe(endpoint, ENDPOINT_CAP, Lane.RETRY)
    for _ in range(ENDPOINT_CAP):
        publish_event(endpoint.account)
    stamp()

    meet(first(endpoint, "one"), second(endpoint, "another"))

    leased_until = Due.objects.aggregate(first=Min("lease_until"))["first"]
    begun_at = leased_until - timedelta(seconds=LEASE_SECONDS)
    next_at = Pace.objects.get(pk=endpoint.id).next_at
    assert next_at is not None
    assert next_at >= begun_at + under_way() * timedelta(seconds=0.5)


def test_what_is_sent_again_in_order_waits_for_what_a_fan_out_is_about_to_send(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver
) -> None:
    endpoint, subject = make_endpoint(receiver.url(), ordered=True), uuid7()
    publish_event(endpoint.account, subject=subject)
    dispatch()
    assert delivering.sender.wait_until_empty(20)
    earlier = Delivery.objects.get()
    later = publish_event(endpoint.account, subject=subject)
    stamp()

    def send_again() -> list[Claimed] | list[Made]:
        redeliver(account_id=endpoint.account_id, delivery_id=earlier.id)
        return claiming(endpoint, "another")()

    meet(fanning_out(endpoint, "one", later), send_again)

    assert under_way() == 1


def test_a_fan_out_that_meets_a_claim_leaves_deliveries_to_be_claimed(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver
) -> None:
    endpoint, other = make_endpoint(receiver.url()), make_endpoint(receiver.url())
    owe(other, 1, Lane.RETRY)

    with uncommitted(claiming(other, "another")):
        publish_event(endpoint.account)
        dispatch()
        assert under_way() == 0

    delivering.deliver()
    assert delivering.sender.wait_until_empty(20)
    assert Delivery.objects.get().status == "delivered"


def test_a_fan_out_that_comes_to_no_end_is_not_waited_for_as_long_as_a_claim_waits(
    endpoint: Endpoint, publish_event: PublishEvent
) -> None:
    publish_event(endpoint.account)
    stamp()

    def shown(name: str) -> str:
        with connection.cursor() as cursor:
            cursor.execute(f"SHOW {name}")
            return str(cursor.fetchone()[0])

    usually = shown("idle_in_transaction_session_timeout")
    with transaction.atomic():
        fanning_out(endpoint, "one")()
        assert shown("idle_in_transaction_session_timeout") == "3s"

    assert shown("lock_timeout") == "4s"
    assert shown("idle_in_transaction_session_timeout") == usually
