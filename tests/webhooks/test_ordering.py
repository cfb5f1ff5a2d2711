"""Ordered endpoints: the events of one subject one after the other, whatever happens to them."""

import json
import random
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.db.models.functions import Now

from apps.common.actor import system
from apps.common.ids import uuid7
from apps.events.channels import channel_of, join
from apps.events.dispatch import dispatch
from apps.webhooks import services
from apps.webhooks.claims import Claimed
from apps.webhooks.delivering import delivering
from apps.webhooks.enums import DisabledReason
from apps.webhooks.fanout import continue_fan_out
from apps.webhooks.models import Delivery, Due, Endpoint
from apps.webhooks.retries import RETRIES_BEFORE_SET_ASIDE
from tests.conftest import MakeAccount
from tests.support import (
    Answer,
    Received,
    Receiver,
    background,
    holding,
    somebody_waits_for_a_lock,
    stopped_while_reading,
    wait_until,
)
from tests.support.concurrency import TIMEOUT_SECONDS
from tests.webhooks.conftest import MakeEndpoint, PublishEvent, many_endpoints
from tests.webhooks.situations import dispatch_slowly, expire_leases, make_due, take

pytestmark = pytest.mark.django_db(transaction=True)

Send = Callable[[], None]

NOBODY = system("tests")


RECORD = "SELECT * FROM webhooks_record_v2(%s::uuid[], %s::jsonb)"


def delivered(one: Claimed) -> tuple[list[UUID], str]:
    """What RECORD is told of a delivery that arrived."""
    told = {
        "id": str(one.delivery_id),
        "lease_id": str(one.lease_id),
        "attempt_id": str(uuid7()),
        "status": "delivered",
        "reason": "",
        "url": "",
        "age": 0,
        "duration_ms": 1,
        "error": "",
        "headers": {},
        "answer_headers": {},
        "body": "",
    }
    return [one.delivery_id], json.dumps([told])


def publish_numbered(
    publish_event: PublishEvent, endpoint: Endpoint, subject: UUID, *n: int
) -> None:
    for number in n:
        publish_event(endpoint.account, subject=subject, object={"n": number})


def number_of(request: Received) -> Any:
    return request.json()["data"]["object"]["n"]


def numbers(receiver: Receiver) -> list[Any]:
    return [number_of(request) for request in receiver.requests]


def drain() -> None:
    """Delivers until nothing is owed any more."""

    def is_done() -> bool:
        delivering.deliver()
        return delivering.sender.wait_until_empty(20) and not Due.objects.exists()

    wait_until(is_done, seconds=30)


@pytest.mark.parametrize("slowly", [True, False])
def test_subjects_are_in_order_and_go_in_parallel(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, slowly: bool
) -> None:
    endpoint = make_endpoint(receiver.url(), ordered=True)
    subjects = [uuid7() for _ in range(6)]
    expected = defaultdict(list)
    for n in range(60):
        subject = random.choice(subjects)
        publish_numbered(publish_event, endpoint, subject, n)
        expected[subject].append(n)
        if not slowly and n % 7 == 0:
            dispatch()

    if slowly:
        dispatch_slowly()
        heads = take()
        assert len({one.delivery_id for one in heads}) == 5
        Due.objects.filter(lease_id__isnull=False).update(
            ready=True, lease_id=None, lease_until=None
        )
    else:
        dispatch()
    drain()

    subject_of = {n: subject for subject, some in expected.items() for n in some}
    came = defaultdict(list)
    for n in numbers(receiver):
        came[subject_of[n]].append(n)
    assert came == expected


def test_one_of_a_subject_is_under_way_at_a_time(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver
) -> None:
    endpoint = make_endpoint(receiver.url(), ordered=True)
    one, other = uuid7(), uuid7()
    publish_numbered(publish_event, endpoint, one, 1, 2, 3)
    publish_numbered(publish_event, endpoint, other, 4)
    dispatch_slowly()

    taken = {claimed.delivery_id for claimed in take()}

    assert len(taken) == 2
    assert set(Delivery.objects.filter(pk__in=taken).values_list("subject", flat=True)) == {
        one,
        other,
    }
    assert take() == [], "not before the first is done with"


def test_what_comes_while_the_one_before_it_is_recorded_goes_at_once(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver
) -> None:
    """The recording began before it was there, and had not ended when it was claimed."""
    endpoint = make_endpoint(receiver.url(), ordered=True)
    subject = uuid7()
    publish_numbered(publish_event, endpoint, subject, 1)
    dispatch_slowly()
    (first,) = take()

    with stopped_while_reading("webhooks_due", "TRUE", RECORD, *delivered(first)):
        publish_numbered(publish_event, endpoint, subject, 2)
        dispatch_slowly()
        assert take() == []

    assert len(take()) == 1


def test_the_end_of_one_in_order_is_recorded_between_claims(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver
) -> None:
    """So that none judges by what is about to end; others are recorded beside them."""
    ordered = make_endpoint(receiver.url(), ordered=True)
    other = make_endpoint(receiver.url())
    for endpoint in (ordered, other):
        publish_numbered(publish_event, endpoint, uuid7(), 1)
    dispatch_slowly()
    claimed = {one.endpoint_id: one for one in take()}
    is_claimed = threading.Event()

    def record(endpoint: Endpoint) -> None:
        with connection.cursor() as cursor:
            cursor.execute(RECORD, delivered(claimed[endpoint.id]))

    def record_meanwhile() -> None:
        assert is_claimed.wait(TIMEOUT_SECONDS)
        record(ordered)

    with (
        background(record_meanwhile),
        holding("SELECT pg_advisory_xact_lock(hashtext('tradepost.webhooks.claim'))"),
    ):
        record(other)
        is_claimed.set()
        wait_until(somebody_waits_for_a_lock)
        assert Due.objects.get().endpoint_id == ordered.id

    assert not Due.objects.exists()


def test_a_failure_blocks_its_subject_alone_until_it_is_delivered(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    first = True

    def fail_once(request: Received) -> Answer:
        nonlocal first
        if number_of(request) == 1 and first:
            first = False
            return Answer(500)
        return Answer(204)

    receiver.answer("/", fail_once)
    endpoint = make_endpoint(receiver.url(), ordered=True)
    one, other = uuid7(), uuid7()
    publish_numbered(publish_event, endpoint, one, 1, 2, 3)
    publish_numbered(publish_event, endpoint, other, 7)

    send()
    assert sorted(numbers(receiver)) == [1, 7]
    Due.objects.filter(is_behind=False).update(due_at=Now())
    drain()

    assert [n for n in numbers(receiver) if n != 7] == [1, 1, 2, 3]


def test_a_subject_goes_on_when_the_retries_of_one_have_ended(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    receiver.answer("/", lambda request: Answer(500 if number_of(request) == 1 else 204))
    endpoint = make_endpoint(receiver.url(), ordered=True)
    publish_numbered(publish_event, endpoint, uuid7(), 1, 2)
    dispatch()
    Delivery.objects.update(retry_step=10)
    send()
    drain()

    assert numbers(receiver)[-1] == 2
    assert sorted(Delivery.objects.values_list("status", flat=True)) == ["delivered", "failed"]


def test_parking_sets_a_failing_one_aside_and_lets_its_subject_go_on(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    receiver.answer("/", lambda request: Answer(500 if number_of(request) == 1 else 204))
    endpoint = make_endpoint(receiver.url(), ordered=True, on_failure="park")
    publish_numbered(publish_event, endpoint, uuid7(), 1, 2)

    for _ in range(RETRIES_BEFORE_SET_ASIDE + 1):
        send()
        assert 2 not in numbers(receiver)[:-1]
        make_due()
    drain()

    assert numbers(receiver) == [1] * (RETRIES_BEFORE_SET_ASIDE + 1) + [2]
    parked = Delivery.objects.get(status="parked")
    assert parked.reason == "set_aside"
    services.enable_endpoint(account_id=endpoint.account_id, endpoint_id=endpoint.id, actor=NOBODY)
    assert not Due.objects.exists(), "enabling sends only what was parked with the endpoint"
    receiver.answer("/", Answer(204))
    services.redeliver(account_id=endpoint.account_id, delivery_id=parked.id)
    drain()
    assert not Delivery.objects.exclude(status="delivered").exists()


def test_a_redelivery_goes_before_what_comes_after_it_and_never_beside_it(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    endpoint = make_endpoint(receiver.url(), ordered=True)
    subject = uuid7()
    publish_numbered(publish_event, endpoint, subject, 1)
    send()
    publish_numbered(publish_event, endpoint, subject, 2, 3)
    dispatch_slowly()
    [second] = take()

    services.redeliver(
        account_id=endpoint.account_id,
        delivery_id=Delivery.objects.get(status="delivered").id,
    )
    assert take() == [], "the second is under way"
    expire_leases()
    make_due()
    drain()

    assert numbers(receiver) == [1, 1, 2, 3]
    assert second.claims == 1


def test_a_crash_keeps_the_order(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver
) -> None:
    endpoint = make_endpoint(receiver.url(), ordered=True)
    publish_numbered(publish_event, endpoint, uuid7(), 1, 2, 3)
    dispatch_slowly()
    assert len(take()) == 1  # dies holding the first
    make_due()
    assert take() == []

    expire_leases()
    make_due()
    drain()

    assert numbers(receiver) == [1, 2, 3]


def test_a_backlog_keeps_its_order_however_it_is_owed_again(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("apps.webhooks.backlog.BATCH", 2)
    endpoint = make_endpoint(receiver.url(), ordered=True)
    subject = uuid7()
    publish_numbered(publish_event, endpoint, subject, *range(9))
    dispatch_slowly()
    services.disable_endpoint(endpoint_id=endpoint.id, reason=DisabledReason.OPERATOR, actor=NOBODY)
    while services.settle_backlogs():
        pass
    assert not Due.objects.exists()

    services.enable_endpoint(account_id=endpoint.account_id, endpoint_id=endpoint.id, actor=NOBODY)
    publish_numbered(publish_event, endpoint, subject, 9)
    dispatch()
    assert Due.objects.filter(lease_id__isnull=False).count() == 0
    drain()

    assert numbers(receiver) == list(range(10))


def test_an_event_waits_for_the_fan_out_of_an_earlier_one_of_its_subject(
    make_account: MakeAccount, make_endpoint: MakeEndpoint, publish_event: PublishEvent,
    receiver: Receiver,
) -> None:  # fmt: skip
    seller = make_account()
    channel = channel_of(seller.id, "deals")
    crowd = make_account()
    join(channel, crowd.id)
    many_endpoints(crowd, 70)
    Endpoint.objects.update(event_types=["deal.created"])
    endpoint = make_endpoint(receiver.url(), account=seller, ordered=True)
    subject = uuid7()
    publish_event(seller, subject=subject, channel_id=channel.id, object={"n": 1})
    Endpoint.objects.filter(account=crowd).update(event_types=["*"])
    dispatch()
    assert not Delivery.objects.filter(endpoint=endpoint).exists(), "it is the 71st"

    publish_event(seller, subject=subject, object={"n": 2})
    dispatch()
    delivering.deliver()
    assert receiver.requests == []
    while continue_fan_out():
        pass
    make_due()
    wait_until(lambda: (delivering.deliver(), len(receiver.requests) == 2)[1], seconds=20)

    assert numbers(receiver) == [1, 2]
