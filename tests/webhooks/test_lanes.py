"""Lanes: first attempts, retries and replays each have slots of their own, slow endpoints others still."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db.models.functions import Now

from apps.common.ids import uuid7
from apps.webhooks.claims import Turns, claim
from apps.webhooks.enums import Lane
from apps.webhooks.limits import ENDPOINT_CAP, LANE_SLOTS
from apps.webhooks.models import Due, Pace
from tests.support import Answer, Receiver
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.situations import take

pytestmark = pytest.mark.django_db(transaction=True)

Send = Callable[[], None]


def owe(endpoint_id: UUID, n: int, lane: Lane = Lane.FIRST, **columns: object) -> None:
    """n deliveries that nobody has to send: for claims alone."""
    Due.objects.bulk_create(
        Due(**{"id": uuid7(), "endpoint_id": endpoint_id, "lane": lane, "due_at": Now(), **columns})
        for _ in range(n)
    )


def test_each_lane_is_claimed_as_far_as_it_has_room() -> None:
    for _ in range(10):
        for lane in (Lane.FIRST, Lane.RETRY, Lane.REPLAY):
            owe(uuid7(), 2, lane)

    taken = claim(turns=Turns(), room=[7, 0, 3, 0], lease_id=uuid7(), holder="me")

    assert Counter(one.slot for one in taken) == {Lane.FIRST: 7, Lane.REPLAY: 3}
    assert Counter(one.slot for one in take(100)) == {
        Lane.FIRST: 13,
        Lane.RETRY: 20,
        Lane.REPLAY: 17,
    }


def test_no_amount_of_retries_and_replays_keeps_first_attempts_waiting() -> None:
    endpoint = uuid7()
    owe(endpoint, 50, Lane.RETRY, due_at=Now() - timedelta(hours=1))
    owe(endpoint, 50, Lane.REPLAY, due_at=Now() - timedelta(hours=1))
    before = Counter(one.slot for one in take(100))

    owe(endpoint, 10, Lane.FIRST)
    after = Counter(one.slot for one in take(100))

    assert sum(before.values()) < ENDPOINT_CAP
    assert after[Lane.FIRST] == ENDPOINT_CAP - sum(before.values()) > 0


def test_lanes_take_turns_for_the_places_of_an_endpoint() -> None:
    endpoint = uuid7()
    for lane in (Lane.FIRST, Lane.RETRY, Lane.REPLAY):
        owe(endpoint, 100, lane)
    turns, seen = Turns(), Counter[Lane]()

    for _ in range(9):
        seen.update(one.slot for one in take(100, turns=turns))
        Due.objects.filter(lease_id__isnull=False).delete()

    assert set(seen) == {Lane.FIRST, Lane.RETRY, Lane.REPLAY}


def test_slow_endpoints_take_slots_apart_in_whatever_lane_they_are_owed() -> None:
    slow, quick = uuid7(), uuid7()
    Pace.objects.create(endpoint_id=slow, sluggish=3)
    for lane in (Lane.FIRST, Lane.RETRY, Lane.REPLAY):
        owe(slow, 1, lane)
        owe(quick, 1, lane)

    crowded = claim(turns=Turns(), room=[9, 9, 9, 0], lease_id=uuid7(), holder="me")
    rest = claim(turns=Turns(), room=[0, 0, 0, 9], lease_id=uuid7(), holder="me")

    assert {one.endpoint_id for one in crowded} == {quick}
    assert {(one.endpoint_id, one.slot) for one in rest} == {(slow, Lane.SLOW)}
    assert (len(crowded), len(rest)) == (3, 3)


def test_an_endpoint_that_keeps_timing_out_becomes_slow_and_a_quick_one_again(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("apps.webhooks.pace.SLUGGISH_SECONDS", 0.0)  # as if each took so long
    endpoint = make_endpoint(receiver.url())
    for _ in range(3):
        publish_event(endpoint.account)
        send()
    assert Pace.objects.get().sluggish == 3

    monkeypatch.undo()
    publish_event(endpoint.account)
    send()

    assert len(receiver.requests) == 4
    assert Pace.objects.get().sluggish == 0


def test_nothing_is_sent_while_the_breaker_is_open_and_one_at_a_time_after() -> None:
    endpoint = uuid7()
    owe(endpoint, 9)
    Pace.objects.create(endpoint_id=endpoint, places=1, closed_until=Now() + timedelta(seconds=60))
    assert take() == []

    Pace.objects.update(closed_until=Now() - timedelta(seconds=1))

    assert len(take()) == 1
    assert take() == []
    Pace.objects.update(places=2)
    assert len(take()) == 1


def test_a_retry_is_owed_in_its_own_lane(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    receiver.answer("/", Answer(500))
    publish_event(make_endpoint(receiver.url()).account)

    send()

    assert Due.objects.get().lane == Lane.RETRY


def test_a_claim_walks_past_any_number_of_endpoints_that_may_not_be_sent_to() -> None:
    closed = sorted(uuid7() for _ in range(2500))
    Due.objects.bulk_create(Due(id=uuid7(), endpoint_id=one, due_at=Now()) for one in closed)
    Pace.objects.bulk_create(
        Pace(endpoint_id=one, closed_until=Now() + timedelta(hours=1)) for one in closed
    )
    last = uuid7()
    owe(last, 1)

    turns = Turns()
    claims = [take(turns=turns) for _ in range(3)]

    assert [len(some) for some in claims] == [0, 0, 1]
    assert claims[2][0].endpoint_id == last


def test_the_lanes_together_hold_what_a_process_holds() -> None:
    assert LANE_SLOTS[Lane.FIRST] > sum(LANE_SLOTS.values()) / 2
    assert all(LANE_SLOTS[lane] >= 2 * ENDPOINT_CAP for lane in Lane)
