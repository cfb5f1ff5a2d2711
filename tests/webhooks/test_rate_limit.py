"""Rate limits: so many requests a second and no more, whoever claims them."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from apps.common.ids import uuid7
from apps.webhooks import services
from apps.webhooks.claims import AFTER_ALL_CLAIMS
from apps.webhooks.delivering import delivering
from apps.webhooks.limits import RATE_HORIZON_SECONDS
from apps.webhooks.models import Due, Endpoint, Pace
from apps.webhooks.preparing import prepare
from apps.webhooks.transport import Parcel
from tests.support import (
    Receiver,
    background,
    concurrently,
    holding,
    somebody_waits_for_a_lock,
    wait_until,
)
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.situations import dispatch_slowly, take

pytestmark = pytest.mark.django_db(transaction=True)

Send = Callable[[], None]


def owe(endpoint: Endpoint, n: int) -> None:
    Due.objects.bulk_create(Due(id=uuid7(), endpoint=endpoint, due_at=Now()) for _ in range(n))


def test_claims_are_spread_over_the_second(make_endpoint: MakeEndpoint, receiver: Receiver) -> None:
    endpoint = make_endpoint(receiver.url(), rate_limit=4)
    owe(endpoint, 20)

    taken = sorted(one.send_in for one in take())

    assert len(taken) == 5, "a second's worth, and the next one"
    assert taken == pytest.approx([taken[0] + n / 4 for n in range(5)])
    assert take() == []


def test_several_processes_keep_to_it_together(
    make_endpoint: MakeEndpoint, receiver: Receiver
) -> None:
    endpoint = make_endpoint(receiver.url(), rate_limit=2)
    owe(endpoint, 50)

    def work(n: int) -> int:
        return sum(len(take(holder=str(n))) for _ in range(3))

    started = time.monotonic()
    taken = sum(concurrently(4, work))
    took = time.monotonic() - started

    # What that time and the horizon allow; the cap would allow five at once.
    assert 1 <= taken <= 2 * (took + RATE_HORIZON_SECONDS) + 1


def test_requests_come_no_faster_than_that(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    endpoint = make_endpoint(receiver.url(), rate_limit=10)
    for _ in range(20):
        publish_event(endpoint.account)

    started = time.monotonic()
    send()
    while Due.objects.exists():
        delivering.deliver()
    assert delivering.sender.wait_until_empty(20)

    last = max(request.at for request in receiver.wait_for(20))
    assert last - started >= 19 / 10 * 0.9, (
        "by the clock of the claims, however late the first came"
    )


def test_a_limit_can_be_set_changed_and_lifted(
    make_endpoint: MakeEndpoint, receiver: Receiver
) -> None:
    endpoint = make_endpoint(receiver.url())

    def change(limit: int | None) -> None:
        services.update_endpoint(
            account_id=endpoint.account_id,
            endpoint_id=endpoint.id,
            changes={"rate_limit": limit},
        )

    assert not Pace.objects.exists()
    change(1)
    assert Pace.objects.get().next_at is not None
    change(None)

    owe(endpoint, 5)
    assert [one.send_in for one in take()] == [0.0] * 5


def test_moments_given_under_the_limit_before_are_not_given_again(
    make_endpoint: MakeEndpoint, receiver: Receiver
) -> None:
    endpoint = make_endpoint(receiver.url(), rate_limit=1)
    owe(endpoint, 10)
    assert len(take()) == 2, "now and in a second"
    given_until = Pace.objects.get().next_at

    services.update_endpoint(
        account_id=endpoint.account_id, endpoint_id=endpoint.id, changes={"rate_limit": 2}
    )

    assert Pace.objects.get().next_at == given_until


def test_a_claim_s_moments_count_from_its_turn(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver
) -> None:
    """It may have waited for it while others were given the moments before."""
    endpoint = make_endpoint(receiver.url(), rate_limit=1)
    for _ in range(2):
        publish_event(endpoint.account)
    dispatch_slowly()

    def claim_and_prepare() -> list[Parcel]:
        asked_at = time.monotonic()
        return prepare(take(), asked_at)[0]

    with ExitStack() as ended, holding(AFTER_ALL_CLAIMS):
        prepared = ended.enter_context(background(claim_and_prepare))
        wait_until(somebody_waits_for_a_lock)
        its_turn = time.monotonic()

    first, second = sorted(one.send_at for one in prepared.result())
    assert first >= its_turn
    assert second >= its_turn + 1


def test_time_that_was_not_used_is_not_saved_up(
    make_endpoint: MakeEndpoint, receiver: Receiver
) -> None:
    endpoint = make_endpoint(receiver.url(), rate_limit=1)
    Pace.objects.update(next_at=Now() - timedelta(hours=1))
    owe(endpoint, 5)

    assert len(take()) == 2
