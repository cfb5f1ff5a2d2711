"""Longer hands: a process may hold more for an endpoint that answers well, and has no more under way."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db.models.functions import Now

from apps.common.ids import uuid7
from apps.webhooks.claims import Claimed, Turns, claim
from apps.webhooks.delivering import delivering
from apps.webhooks.enums import Lane
from apps.webhooks.limits import CLAIM_BATCH, ENDPOINT_CAP, HAND, HAND_SECONDS
from apps.webhooks.lines import Line, Lines
from apps.webhooks.models import Attempt, Delivery, Due, Endpoint, Pace
from apps.webhooks.pace import MIN_FAILURES
from tests.support import Answer, Received, Receiver, concurrently
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.situations import dispatch_slowly
from tests.webhooks.test_pace import outcome
from tests.webhooks.test_sender import parcel

pytestmark = pytest.mark.django_db(transaction=True)

Send = Callable[[], None]


def owe(endpoint_id: UUID, n: int, **columns: object) -> None:
    Due.objects.bulk_create(
        Due(**{"id": uuid7(), "endpoint_id": endpoint_id, "due_at": Now(), **columns})
        for _ in range(n)
    )


def take(hands: dict[UUID, int], *, holder: str = "me", n: int = CLAIM_BATCH) -> list[Claimed]:
    room = [n] * len(Lane)
    return claim(turns=Turns(), room=room, lease_id=uuid7(), holder=holder, hands=hands)


def test_a_hand_is_claimed_up_to_what_is_asked_for() -> None:
    swift, other = uuid7(), uuid7()
    owe(swift, 100)
    owe(other, 100)

    taken = Counter(one.endpoint_id for one in take({swift: 40}))

    assert taken == {swift: 40, other: ENDPOINT_CAP}
    assert take({swift: 40}) == []
    assert len(take({swift: 50})) == 10


def test_others_come_before_a_longer_hand() -> None:
    swift = min(endpoints := [uuid7() for _ in range(5)])
    for endpoint in endpoints:
        owe(endpoint, 50)

    taken = Counter(one.endpoint_id for one in take({swift: 50}, n=5 * ENDPOINT_CAP + 3))

    assert taken == {**dict.fromkeys(endpoints, ENDPOINT_CAP), swift: ENDPOINT_CAP + 3}


def test_nobody_else_gets_any_while_one_holds_more_than_the_cap() -> None:
    swift = uuid7()
    owe(swift, 100)
    take({swift: 40})

    assert take({swift: 40}, holder="another") == []


def test_of_an_endpoint_that_another_holds_there_is_no_longer_hand() -> None:
    swift = uuid7()
    owe(swift, 100)
    assert len(take({}, n=2)) == 2

    assert len(take({swift: 40}, holder="another")) == ENDPOINT_CAP - 2
    assert take({swift: 40}) == []


def test_many_claims_at_once_leave_one_holder_or_the_cap() -> None:
    swift = uuid7()
    owe(swift, 500)

    taken = concurrently(6, lambda n: [take({swift: 40}, holder=str(n)) for _ in range(3)])

    held = Counter(Due.objects.filter(lease_id__isnull=False).values_list("holder", flat=True))
    assert len(held) == 1 or sum(held.values()) <= ENDPOINT_CAP
    assert sum(len(some) for each in taken for some in each) == sum(held.values())


@pytest.mark.parametrize(
    "pace",
    [
        {"places": 1},
        {"closed_until": Now() + timedelta(minutes=1)},
        {"sluggish": 3},
        {"next_at": Now()},
    ],
)
def test_what_has_a_trial_a_rest_a_limit_or_slow_answers_has_no_longer_hand(
    pace: dict[str, object],
) -> None:
    swift = uuid7()
    owe(swift, 100)
    Pace.objects.create(endpoint_id=swift, **pace)

    assert len(take({swift: 40})) <= ENDPOINT_CAP


def test_a_hand_grows_with_good_answers_as_far_as_they_are_quick() -> None:
    line, slow = Line(), Line()
    for _ in range(HAND * 2):
        line.note(outcome(seconds=0.001))
        slow.note(outcome(seconds=HAND_SECONDS / 2))

    assert line.hand == HAND
    assert slow.hand == 2 * ENDPOINT_CAP


def test_a_failure_ends_it() -> None:
    line = Line()
    for _ in range(50):
        line.note(outcome(seconds=0.001))
    assert line.hand == 50

    line.note(outcome(ok=False))

    assert line.hand == ENDPOINT_CAP


def test_lanes_take_turns_in_a_line() -> None:
    line = Line()
    for lane in [Lane.REPLAY] * 3 + [Lane.FIRST] * 3:
        line.add(parcel("http://receiver.example/", slot=lane))

    first = [line.next(), line.next()]

    assert {one.slot for one in first if one} == {Lane.FIRST, Lane.REPLAY}


def test_an_endpoint_with_few_deliveries_asks_for_no_longer_hand() -> None:
    lines, one = Lines(), parcel("http://receiver.example/")
    for _ in range(50):
        line = lines.add(one)
        line.next()
        lines.note(line, outcome())

    assert lines.hands == {}


def test_a_long_line_is_sent_five_at_a_time(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def count(_: Received) -> Answer:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        with lock:
            now -= 1
        return Answer(204)

    receiver.answer("/", count)
    endpoint = make_endpoint(receiver.url())
    for _ in range(200):
        publish_event(endpoint.account)
    dispatch_slowly()
    longest = 0

    def watched(*, hands: dict[UUID, int], **options: object) -> list[Claimed]:
        nonlocal longest
        longest = max([longest, *hands.values()])
        return claim(hands=hands, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("apps.webhooks.delivering.claim", watched)
        # Quick and recent, however busy the machine is.
        patched.setattr("apps.webhooks.lines.HAND_SECONDS", 60.0)
        patched.setattr("apps.webhooks.lines.HAND_REMEMBERED_SECONDS", 60.0)
        send()

    assert longest > ENDPOINT_CAP
    assert most <= ENDPOINT_CAP
    assert len(receiver.requests) == 200
    assert Delivery.objects.filter(status="delivered").count() == 200


def send_by_one_hand(
    count: int,
    endpoint: Endpoint,
    publish: PublishEvent,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Send the endpoint so many new events, all of them claimed at once."""
    for _ in range(count):
        publish(endpoint.account)
    dispatch_slowly()
    with monkeypatch.context() as patched:
        patched.setattr("apps.webhooks.lines.Lines.hands", {endpoint.id: count})
        send()


def test_what_is_in_line_behind_a_failure_is_given_back_untried(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    endpoint = make_endpoint(receiver.url())
    receiver.answer("/", Answer(500))
    send_by_one_hand(60, endpoint, publish_event, send, monkeypatch)
    assert Attempt.objects.count() == ENDPOINT_CAP

    delivering.deliver()  # as it is woken to do
    assert delivering.sender.wait_until_empty(20)

    # Then it is given a rest. The tenth failure may be recorded while others are under way: a claim that does not
    # see it yet leaves no more than the cap under a lease, beside at most nine failures that are recorded.
    assert MIN_FAILURES <= Attempt.objects.count() < MIN_FAILURES + ENDPOINT_CAP
    assert Due.objects.filter(lease_id__isnull=False).count() == 0
    assert not Due.objects.filter(claims__gt=0).exists()


def test_what_is_in_line_behind_an_answer_that_asks_for_a_pause_is_given_back_untried(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    endpoint = make_endpoint(receiver.url())
    receiver.answer("/", Answer(200, headers={"Webhook-Delivery": "pause=3600"}))
    send_by_one_hand(60, endpoint, publish_event, send, monkeypatch)

    delivering.deliver()  # as it is woken to do

    assert delivering.sender.wait_until_empty(20)
    assert len(receiver.requests) == ENDPOINT_CAP
    assert not Due.objects.exclude(lease_id=None).exists()
