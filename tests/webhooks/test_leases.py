"""Nothing is lost and nothing stuck: leases of workers that die, lose an answer or wait too long."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError, connections

from apps.common.ids import uuid7
from apps.events.dispatch import dispatch
from apps.webhooks.claims import claim
from apps.webhooks.delivering import delivering
from apps.webhooks.limits import ENDPOINT_CAP, MAX_CLAIMS
from apps.webhooks.models import Attempt, Delivery, Due
from apps.webhooks.sender import Sender
from tests.support import Answer, Receiver
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.situations import (
    dispatch_slowly,
    expire_leases,
    only_delivery,
    out_of_reach,
    start_worker,
)

pytestmark = pytest.mark.django_db(transaction=True)

Send = Callable[[], None]


def test_a_worker_killed_under_way_is_made_up_for_after_its_lease(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip

    publish_event(make_endpoint(receiver.url()).account)
    monkeypatch.setattr(Sender, "submit", lambda *_: None)  # dies holding the lease
    dispatch()
    delivering.deliver()
    monkeypatch.undo()
    send()
    assert receiver.requests == [], "the lease is respected"

    expire_leases()
    send()

    assert len(receiver.requests) == 1
    assert only_delivery().status == "delivered"
    assert Attempt.objects.count() == 1


def test_what_was_claimed_for_nothing_is_given_back(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    publish_event(make_endpoint(receiver.url()).account)
    dispatch_slowly()
    with out_of_reach("events_event"), pytest.raises(ProgrammingError):
        delivering.deliver()  # claims, and then finds no event to send
    assert Due.objects.filter(lease_id__isnull=False, claims=1).exists()

    send()

    assert len(receiver.requests) == 1
    assert only_delivery().status == "delivered"


def test_giving_back_waits_for_the_database_and_counts_for_nothing(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    publish_event(make_endpoint(receiver.url()).account)
    dispatch_slowly()

    for _ in range(MAX_CLAIMS + 1):
        with out_of_reach("events_event"), pytest.raises(ProgrammingError):
            delivering.deliver()
        with out_of_reach("webhooks_due"), pytest.raises(ProgrammingError):
            delivering.deliver()
    send()

    assert only_delivery().status == "delivered"


def test_what_was_claimed_by_a_statement_whose_answer_was_lost_is_given_back(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    publish_event(make_endpoint(receiver.url()).account)
    dispatch_slowly()

    def lose_the_answer(**options: Any) -> None:
        assert len(claim(**options)) == 1
        raise OperationalError("the connection is lost")

    monkeypatch.setattr("apps.webhooks.delivering.claim", lose_the_answer)
    with pytest.raises(OperationalError):
        delivering.deliver()
    monkeypatch.undo()
    send()

    assert only_delivery().status == "delivered"


def test_what_was_leased_by_a_commit_whose_answer_was_lost_is_given_back_in_time(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    publish_event(make_endpoint(receiver.url()).account)
    monkeypatch.setattr(delivering, "hand_over", lambda *_: None)
    dispatch()
    monkeypatch.undo()
    send()
    assert receiver.requests == [], "it might still be handed over"

    monkeypatch.setattr("apps.webhooks.leases.MAX_WAIT_SECONDS", 0.0)  # as if that were over
    send()

    assert len(receiver.requests) == 1
    assert only_delivery().status == "delivered"


def test_what_is_handed_over_after_it_was_given_back_is_not_sent(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    publish_event(make_endpoint(receiver.url()).account)
    usual, handed_over = delivering.hand_over, []
    monkeypatch.setattr(delivering, "hand_over", lambda *what: handed_over.append(what))
    dispatch()
    monkeypatch.undo()
    with monkeypatch.context() as patched:
        patched.setattr("apps.webhooks.leases.MAX_WAIT_SECONDS", 0.0)
        send()

    usual(*handed_over[0])
    send()

    assert len(receiver.requests) == 1


def test_what_waited_too_long_for_its_request_is_given_back(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    publish_event(make_endpoint(receiver.url()).account)
    with monkeypatch.context() as patched:
        patched.setattr("apps.webhooks.sender.MAX_WAIT_SECONDS", -1.0)
        dispatch()
        assert delivering.sender.wait_until_empty(10)
    assert receiver.requests == []

    send()

    assert len(receiver.requests) == 1
    assert only_delivery().status == "delivered"


def test_a_worker_started_again_frees_what_its_earlier_life_held(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    endpoint = make_endpoint(receiver.url())
    for _ in range(ENDPOINT_CAP):
        publish_event(endpoint.account)
    start_worker("fast@here")
    delivering.deliver()
    with monkeypatch.context() as patched:
        patched.setattr(Sender, "submit", lambda *_: None)  # dies holding the leases
        dispatch()
    assert Due.objects.filter(holder="fast@here", lease_id__isnull=False).count() == ENDPOINT_CAP

    start_worker("slow@here")
    send()
    assert receiver.requests == [], "the leases of others are respected"
    start_worker("fast@here")
    send()

    assert len(receiver.requests) == ENDPOINT_CAP
    assert not Delivery.objects.exclude(status="delivered").exists()


def test_a_worker_started_again_leases_nothing_before_it_has_freed_what_was_left(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    start_worker("fast@here")
    publish_event(make_endpoint(receiver.url()).account)

    dispatch()

    assert Due.objects.get().ready
    send()
    assert only_delivery().status == "delivered"


def test_a_worker_that_is_stopped_leaves_nothing_leased_behind(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver
) -> None:
    receiver.answer("/", Answer(204, delay=30))
    publish_event(make_endpoint(receiver.url()).account)
    dispatch()
    receiver.wait_for(1)

    delivering.stop(1)
    delivering.sender = Sender(delivering.sender._record)  # the stopped one never becomes empty

    due = Due.objects.get()
    assert (due.ready, due.lease_id, due.claims) == (True, None, 0)


def test_whoever_lost_the_lease_records_nothing(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    publish_event(make_endpoint(receiver.url()).account)

    def overtaken(_: Any) -> Answer:

        Due.objects.update(lease_id=uuid7(), holder="me")
        connections.close_all()
        return Answer(500)

    receiver.answer("/", overtaken, Answer(204))
    send()

    delivery = only_delivery()
    assert (delivery.status, delivery.attempt_count, delivery.retry_step) == ("pending", 0, 0)
    assert not Attempt.objects.exists()
    expire_leases()
    send()
    assert only_delivery().status == "delivered"
    assert Attempt.objects.get().number == 1
