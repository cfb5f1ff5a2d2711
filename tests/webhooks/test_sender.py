"""The sender by itself: its limits, its end, and what it does when the database is away."""

import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import OperationalError

from apps.common.ids import uuid7
from apps.webhooks import limits
from apps.webhooks.enums import Lane
from apps.webhooks.limits import LANE_SLOTS
from apps.webhooks.sender import Sender
from apps.webhooks.transport import Keyring, Outcome, Parcel
from tests.support import Answer, Receiver, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def parcel(url: str, *, leased_at: float | None = None, **fields: Any) -> Parcel:
    return Parcel(
        delivery_id=uuid7(),
        lease_id=uuid7(),
        endpoint_id=uuid7(),
        event_id=uuid7(),
        step=0,
        url=url,
        keyring=Keyring(((b"key", float("inf")),)),
        body=b"{}",
        occurred_at=time.time(),
        leased_at=time.monotonic() if leased_at is None else leased_at,
        **fields,
    )


class Book:
    """Keeps what it is told to record; `failures` times it cannot."""

    def __init__(self, *failures: Exception) -> None:
        self.batches: list[Sequence[Outcome]] = []
        self.failures = list(failures)

    def record(self, outcomes: Sequence[Outcome]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.batches.append(list(outcomes))

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for batch in self.batches for outcome in batch]


def test_two_hundred_are_under_way_at_once() -> None:
    """A server that answers nobody before all two hundred have come."""
    book = Book()
    sender = Sender(book.record)
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:

        def serve() -> None:
            while len(connections) < 200:
                connections.append(listener.accept()[0])
            for connection in connections:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        sender.submit([parcel(url) for _ in range(200)])

        assert sender.wait_until_empty(30)
        server.join(5)
    sender.stop(5)
    for connection in connections:
        connection.close()
    assert [outcome.status_code for outcome in book.outcomes] == [204] * 200


def test_free_slots_are_counted_from_handing_over_to_recording(receiver: Receiver) -> None:
    release = threading.Event()

    def hold(_: object) -> Answer:
        release.wait(30)
        return Answer(204)

    receiver.answer("/", hold)
    sender = Sender(Book().record)
    slots = LANE_SLOTS[Lane.RETRY]

    sender.submit([parcel(receiver.url(), slot=Lane.RETRY) for _ in range(3)])

    assert sender.room[Lane.RETRY] == slots - 3
    assert sender.room[Lane.FIRST] == LANE_SLOTS[Lane.FIRST], "no lane takes another's slots"
    release.set()
    assert sender.wait_until_empty(10)
    assert sender.room[Lane.RETRY] == slots
    sender.stop(5)


def test_what_has_a_time_to_be_sent_at_is_not_sent_before(receiver: Receiver) -> None:
    book = Book()
    sender = Sender(book.record)
    soon = time.monotonic() + 0.3

    sender.submit([parcel(receiver.url(), send_at=soon)])

    assert sender.wait_until_empty(10)
    assert receiver.requests[0].at >= soon
    sender.stop(5)


def test_what_waited_too_long_under_its_lease_is_left_to_the_next(receiver: Receiver) -> None:
    book = Book()
    sender = Sender(book.record)
    late = time.monotonic() - limits.MAX_WAIT_SECONDS - 1

    sender.submit([parcel(receiver.url(), leased_at=late)])

    assert sender.wait_until_empty(10)
    assert receiver.requests == []
    assert book.outcomes == []
    sender.stop(5)


def test_stopping_lets_what_is_under_way_end(receiver: Receiver) -> None:
    receiver.answer("/", Answer(204, delay=0.2))
    book = Book()
    sender = Sender(book.record)
    sender.submit([parcel(receiver.url()) for _ in range(3)])

    sender.stop(20)

    assert len(book.outcomes) == 3
    assert sum(sender.room) == 0
    sender.submit([parcel(receiver.url())])
    assert len(receiver.requests) == 3


def test_an_unused_sender_stops_at_once() -> None:
    Sender(Book().record).stop(0)


def test_outcomes_outlive_a_database_that_is_away(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.webhooks.sender.PAUSE_SECONDS", 0.01)
    book = Book(OperationalError("away"), OperationalError("still away"))
    sender = Sender(book.record)

    sender.submit([parcel(receiver.url())])

    assert sender.wait_until_empty(10)
    assert len(book.outcomes) == 1
    sender.stop(5)


def test_an_outcome_that_cannot_be_recorded_does_not_spoil_the_others(receiver: Receiver) -> None:
    spoilt = parcel(receiver.url("/spoilt"))
    kept: list[Outcome] = []

    def record(outcomes: Sequence[Outcome]) -> None:
        if any(outcome.parcel is spoilt for outcome in outcomes):
            raise ValueError("no database takes this")
        kept.extend(outcomes)

    sender = Sender(record)
    sender.submit([spoilt, *(parcel(receiver.url()) for _ in range(5))])

    assert sender.wait_until_empty(10)
    assert len(kept) == 5
    sender.stop(5)


def test_connections_are_kept_and_used_again(receiver: Receiver) -> None:
    book = Book()
    sender = Sender(book.record)
    for _ in range(3):
        sender.submit([parcel(receiver.url())])
        assert sender.wait_until_empty(10)

    wait_until(lambda: len(receiver.requests) == 3)
    sender.stop(5)
    assert {outcome.status_code for outcome in book.outcomes} == {204}
