"""Positions: gap-free, in the order of insertion, and a reader that remembers its own misses nothing."""

import random
import threading
import time
from uuid import UUID

import pytest
from django.db import transaction

from apps.events.dispatch import STAMP_BATCH, stamp
from apps.events.models import Event
from apps.events.publishing import publish
from tests.conftest import MakeClient
from tests.events.conftest import drafted, happen
from tests.support import background, concurrently


def positions() -> list[int | None]:
    return list(Event.objects.order_by("sequence").values_list("position", flat=True))


@pytest.mark.django_db
def test_events_are_stamped_in_the_order_of_insertion() -> None:
    made = [happen() for _ in range(5)]

    assert stamp() == 5

    assert positions() == [1, 2, 3, 4, 5]
    assert list(Event.objects.order_by("position").values_list("id", flat=True)) == made


@pytest.mark.django_db
def test_stamping_again_changes_nothing_and_goes_on_where_it_was() -> None:
    happen()
    stamp()
    assert stamp() == 0
    happen()

    assert stamp() == 1

    assert positions() == [1, 2]


@pytest.mark.django_db
def test_a_stamp_takes_a_batch_at_the_most() -> None:
    with transaction.atomic():
        for _ in range(STAMP_BATCH + 3):
            publish(drafted())

    assert [stamp(), stamp(), stamp()] == [STAMP_BATCH, 3, 0]
    assert positions() == list(range(1, STAMP_BATCH + 4))


@pytest.mark.django_db(transaction=True)
def test_many_stampers_at_once_leave_no_gap_and_no_double() -> None:
    with transaction.atomic():
        for _ in range(40):
            publish(drafted())

    stamped = concurrently(8, lambda _: stamp())

    assert sum(stamped) == 40
    assert positions() == list(range(1, 41))


def write_slowly(account: UUID, writer: int, rounds: int) -> list[UUID]:
    """Transactions of one to three events that commit late, one in five not at all."""
    chance = random.Random(writer)
    committed = []
    for _ in range(rounds):
        events = [drafted(account) for _ in range(chance.randint(1, 3))]
        is_lost = chance.random() < 0.2
        with transaction.atomic():
            for event in events:
                publish(event)
            time.sleep(chance.random() * 0.01)  # others commit meanwhile
            transaction.set_rollback(is_lost)
        if not is_lost:
            committed += [event.id for event in events]
    return committed


@pytest.mark.django_db(transaction=True)
def test_slow_commits_of_many_writers_leave_no_gap(api: MakeClient) -> None:
    account = api().account.pk
    stop = threading.Event()

    def keep_stamping() -> None:
        while not stop.is_set():
            stamp()

    with background(keep_stamping), background(keep_stamping):
        written = concurrently(10, lambda n: write_slowly(account, n, 8))
        stop.set()
    while stamp():
        pass

    ids = list(Event.objects.order_by("position").values_list("id", flat=True))
    assert sorted(p for p in positions() if p is not None) == list(range(1, len(ids) + 1))
    assert set(ids) == {one for each in written for one in each}
    at = {one: index for index, one in enumerate(ids)}
    for each in written:  # what one writer did is in its order
        assert sorted(each, key=at.__getitem__) == each


@pytest.mark.django_db(transaction=True)
def test_a_reader_that_follows_the_feed_while_it_is_written_misses_nothing(api: MakeClient) -> None:
    reader = api("events:read")
    finished = threading.Event()
    seen: list[tuple[int, str]] = []

    def read() -> None:
        last = False
        while True:
            stamp()
            after = seen[-1][0] if seen else 0
            page = reader.get("/api/v1/events", after=after, limit=7).json()["results"]
            seen.extend((event["position"], event["id"]) for event in page)
            if last and not page:
                return
            last = finished.is_set()

    with background(read):
        written = concurrently(8, lambda n: write_slowly(reader.account.pk, n, 8))
        finished.set()

    assert [position for position, _ in seen] == list(range(1, len(seen) + 1))
    assert {one for _, one in seen} == {str(one) for each in written for one in each}
