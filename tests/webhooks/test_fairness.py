"""One endpoint costs the others nothing: caps and fair claims, told by counts and not by the clock."""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from django.db.models.functions import Now

from apps.common.ids import uuid7
from apps.common.outgoing import aio
from apps.events.dispatch import dispatch
from apps.webhooks.claims import Turns
from apps.webhooks.delivering import delivering
from apps.webhooks.enums import Lane
from apps.webhooks.fanout import continue_fan_out
from apps.webhooks.limits import (
    ACCOUNT_SHARES,
    CLAIM_BATCH,
    ENDPOINT_CAP,
    LANE_SLOTS,
    MAX_CLAIMS,
)
from apps.webhooks.models import Attempt, Delivery, Due, Endpoint
from apps.webhooks.pace import MIN_FAILURES
from tests.conftest import MakeAccount
from tests.support import Answer, Received, Receiver, background, concurrently, wait_until
from tests.support.flood import flood
from tests.webhooks.conftest import MakeEndpoint, PublishEvent, many_endpoints
from tests.webhooks.situations import take

pytestmark = pytest.mark.django_db(transaction=True)

SLOTS, ACCOUNT_SHARE = LANE_SLOTS[Lane.FIRST], ACCOUNT_SHARES[Lane.FIRST]

Send = Callable[[], None]


def owe(endpoint_id: UUID, n: int, **columns: object) -> None:
    """n deliveries that nobody has to send: for claims alone."""
    Due.objects.bulk_create(
        Due(**{"id": uuid7(), "endpoint_id": endpoint_id, "due_at": Now(), **columns})
        for _ in range(n)
    )


def test_a_claim_takes_a_few_of_each_endpoint() -> None:
    big, small = uuid7(), uuid7()
    owe(big, 100)
    owe(small, 2)

    taken = Counter(one.endpoint_id for one in take(64))

    assert taken == {big: ENDPOINT_CAP, small: 2}
    assert take(64) == []


def test_claims_go_round() -> None:
    endpoints = sorted(uuid7() for _ in range(10))
    for endpoint in endpoints:
        owe(endpoint, 3)

    turns = Turns()
    first, second = take(9, turns=turns), take(9, turns=turns)

    assert {one.endpoint_id for one in first} == set(endpoints[:3])
    assert {one.endpoint_id for one in second} == set(endpoints[3:6])


def test_claims_take_the_longest_waiting_first() -> None:
    endpoint = uuid7()
    owe(endpoint, 5)
    owe(endpoint, 3, due_at=Now() - timedelta(minutes=1))

    taken = [one.delivery_id for one in take(3)]

    old = Due.objects.filter(pk__in=taken, claims=1)
    assert old.count() == 3
    assert not Due.objects.filter(ready=True, due_at__lt=Now() - timedelta(seconds=30)).exists()


def test_what_is_not_due_is_not_claimed_and_what_has_become_due_is() -> None:
    endpoint = uuid7()
    owe(endpoint, 1, ready=False, due_at=Now() + timedelta(seconds=60))
    owe(endpoint, 1, ready=False, due_at=Now() - timedelta(seconds=1))

    assert len(take(10)) == 1
    assert len(take(10)) == 0


def test_many_claims_at_once_never_exceed_the_cap_nor_double() -> None:
    endpoints = [uuid7() for _ in range(6)]
    for endpoint in endpoints:
        owe(endpoint, 30)

    def work(_: int) -> list[tuple[UUID, UUID]]:
        return [(one.endpoint_id, one.delivery_id) for _ in range(5) for one in take(7)]

    claimed = [one for some in concurrently(8, work) for one in some]

    assert len(claimed) == len(set(claimed))
    assert Counter(endpoint for endpoint, _ in claimed) == dict.fromkeys(endpoints, ENDPOINT_CAP)


def test_an_expired_lease_is_claimed_again_and_frees_its_place() -> None:
    endpoint = uuid7()
    owe(endpoint, ENDPOINT_CAP)
    first = take(10)
    Due.objects.update(
        due_at=Now() - timedelta(seconds=1), lease_until=Now() - timedelta(seconds=1)
    )

    second = take(10)

    assert {one.delivery_id for one in first} == {one.delivery_id for one in second}
    assert {one.lease_id for one in first}.isdisjoint(one.lease_id for one in second)
    assert {one.claims for one in second} == {2}
    assert MAX_CLAIMS >= 2


def test_an_account_with_many_endpoints_leaves_half_of_a_process_to_others(
    make_account: MakeAccount,
) -> None:
    hog, other = make_account(), make_account()
    for endpoint in many_endpoints(hog, 2 * SLOTS // ENDPOINT_CAP):
        owe(endpoint.id, ENDPOINT_CAP)
    [last] = many_endpoints(other, 1)
    owe(last.id, 3)

    def claim_all(holder: str) -> Counter[bool]:
        found: Counter[bool] = Counter()
        while some := take(64, holder=holder):
            found.update(one.endpoint_id == last.id for one in some)
        return found

    taken = claim_all("me")

    assert taken[True] == 3
    assert ACCOUNT_SHARE <= taken[False] < ACCOUNT_SHARE + CLAIM_BATCH
    assert claim_all("another")[False] >= ACCOUNT_SHARE


def test_an_account_with_many_dead_endpoints_does_not_stop_the_others(
    make_account: MakeAccount, make_endpoint: MakeEndpoint, publish_event: PublishEvent,
    receiver: Receiver,
) -> None:  # fmt: skip
    hog = make_account()
    healthy = make_endpoint(receiver.url())
    with socket.create_server(("127.0.0.1", 0), backlog=2 * SLOTS) as black_hole:
        url = f"http://127.0.0.1:{black_hole.getsockname()[1]}/"
        many_endpoints(hog, SLOTS // ENDPOINT_CAP + 10, url)
        for _ in range(ENDPOINT_CAP):
            publish_event(hog)
        dispatch()
        while continue_fan_out():
            pass
        with background(delivering.deliver):
            under_way = Due.objects.filter(lease_id__isnull=False)
            wait_until(lambda: under_way.count() >= ACCOUNT_SHARE, seconds=10)

            for _ in range(20):
                publish_event(healthy.account)
            dispatch()
            receiver.wait_for(20, aio.TOTAL_SECONDS * 0.6)  # no request of the hog has ended yet

            delivering.sender.close()


@contextmanager
def tar_pit(receiver: Receiver, path: str) -> Iterator[Callable[[], int]]:
    """A path that does not answer before the block ends; gives how many are stuck in it now."""
    release = threading.Event()
    stuck: list[Received] = []

    def hold(request: Received) -> Answer:
        stuck.append(request)
        release.wait(60)
        return Answer(204)

    receiver.answer(path, hold)
    try:
        yield lambda: len(stuck)
    finally:
        release.set()


def test_a_burst_never_has_more_than_the_cap_under_way(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    lock = threading.Lock()
    now, most = 0, 0
    full = threading.Barrier(ENDPOINT_CAP)

    def count(_: Received) -> Answer:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        full.wait(30)  # the burst is a multiple of the cap: five by five they come
        with lock:
            now -= 1
        return Answer(204)

    receiver.answer("/", count)
    endpoint = make_endpoint(receiver.url())
    for _ in range(ENDPOINT_CAP * 6):
        publish_event(endpoint.account)

    send()

    assert most == ENDPOINT_CAP
    assert len(receiver.requests) == ENDPOINT_CAP * 6
    assert Delivery.objects.filter(status="delivered").count() == ENDPOINT_CAP * 6


def test_a_dead_and_a_tar_pit_endpoint_do_not_stop_the_others(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver
) -> None:
    dead = make_endpoint("http://127.0.0.1:1/")
    pit = make_endpoint(receiver.url("/pit"))
    healthy = [make_endpoint(receiver.url(f"/{n}")) for n in range(10)]
    for endpoint in (pit, dead, *healthy):
        for _ in range(20):
            publish_event(endpoint.account)

    with tar_pit(receiver, "/pit") as stuck:
        dispatch()
        with background(delivering.deliver):
            wait_until(
                lambda: Delivery.objects.filter(status="delivered").count() == 200, seconds=20
            )
            tried = Attempt.objects.filter(delivery__endpoint=dead)
            wait_until(lambda: tried.count() >= MIN_FAILURES, seconds=20)  # then it is given a rest
            wait_until(lambda: stuck() >= ENDPOINT_CAP, seconds=20)
            assert stuck() == ENDPOINT_CAP
            delivering.sender.close()

    assert {one.status for one in Delivery.objects.filter(endpoint__in=healthy)} == {"delivered"}
    assert not Endpoint.objects.filter(status="disabled").exists()


def test_a_receiver_that_never_stops_sending_costs_the_others_nothing(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    good = make_endpoint(receiver.url())
    with flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n") as url:
        bad = make_endpoint(url)
        for endpoint in (bad, good):
            for _ in range(20):
                publish_event(endpoint.account)

        send()

    assert Delivery.objects.filter(endpoint=good, status="delivered").count() == 20
    tried = Attempt.objects.filter(delivery__endpoint=bad)
    assert set(tried.values_list("status_code", "error")) == {(None, "response_too_large")}
    assert tried.count() >= MIN_FAILURES
    assert max(one.duration_ms for one in tried) < aio.TOTAL_SECONDS * 1000 / 2


def test_one_thread_feeds_and_others_make_it_look_again(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver
) -> None:

    endpoint = make_endpoint(receiver.url())
    for _ in range(30):
        publish_event(endpoint.account)
    dispatch()

    concurrently(4, lambda _: delivering.deliver())

    assert delivering.sender.wait_until_empty(20)
    assert len(receiver.requests) == 30
