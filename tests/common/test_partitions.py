"""Growing tables: a partition a week, made ahead, dropped when old; nothing is lost on the way."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection

from apps.common import clock
from apps.common.ids import uuid7_at, uuid7_floor
from apps.common.partitions import WEEK, WEEKS_AHEAD, maintain_partitions
from apps.events.models import KEPT, Event
from tests.support import concurrently

pytestmark = pytest.mark.django_db

TABLE = Event._meta.db_table


def partitions() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass",
            [TABLE],
        )
        return {name for (name,) in cursor.fetchall()}


def monday_of(moment: datetime) -> datetime:
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=midnight.weekday())


def name_of(monday: datetime) -> str:
    return f"{TABLE}_{monday:%Y%m%d}"


def make_event(at: datetime) -> Event:
    return Event.objects.create(
        id=uuid7_at(at), type="a.b", account_id=uuid4(), subject=uuid4(), actor={}, payload=b"{}"
    )


def partition_of(event: Event) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT tableoid::regclass::text FROM {TABLE} WHERE id = %s", [event.pk])
        (found,) = cursor.fetchall()
        return str(found[0])


def make_old_week(monday: datetime) -> None:
    first, end = uuid7_floor(monday), uuid7_floor(monday + WEEK)
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE {name_of(monday)} PARTITION OF {TABLE}"
            f" FOR VALUES FROM ('{first}') TO ('{end}')"
        )


def test_this_week_and_the_next_ones_are_made() -> None:
    maintain_partitions()

    this = monday_of(clock.now())
    expected = {name_of(this + week * WEEK) for week in range(WEEKS_AHEAD + 1)}
    assert partitions() == {f"{TABLE}_default"} | expected


def test_doing_it_again_changes_nothing() -> None:
    maintain_partitions()
    before = partitions()

    maintain_partitions()

    assert partitions() == before


def test_rows_go_into_their_week() -> None:
    maintain_partitions()
    monday = monday_of(clock.now())

    last = make_event(monday + WEEK - timedelta(microseconds=1))
    first = make_event(monday + WEEK)

    assert partition_of(last) == name_of(monday)
    assert partition_of(first) == name_of(monday + WEEK)


@pytest.mark.parametrize("year", [2001, 2199])
def test_a_wrong_clock_refuses_nothing(year: int) -> None:
    maintain_partitions()

    event = make_event(datetime(year, 1, 1, tzinfo=UTC))

    assert partition_of(event) == f"{TABLE}_default"


def test_rows_that_came_before_their_week_was_made_are_taken_over() -> None:
    now = clock.now()
    early, strange = make_event(now), make_event(datetime(2199, 1, 1, tzinfo=UTC))
    assert partition_of(early) == f"{TABLE}_default"

    maintain_partitions()

    assert partition_of(early) == name_of(monday_of(now))
    assert partition_of(strange) == f"{TABLE}_default"
    assert Event.objects.get(pk=early.pk).sequence == early.sequence


def test_a_week_is_dropped_once_none_of_its_rows_need_be_kept() -> None:
    now = clock.now()
    oldest_kept = monday_of(now - KEPT)
    gone = make_event(oldest_kept - timedelta(days=1))
    kept = make_event(oldest_kept + timedelta(days=1))
    Event.objects.all().delete()
    make_old_week(oldest_kept - WEEK)
    make_old_week(oldest_kept)
    for event in (gone, kept):
        event.save(force_insert=True)

    maintain_partitions()

    assert name_of(oldest_kept - WEEK) not in partitions()
    assert name_of(oldest_kept) in partitions()
    assert [event.pk for event in Event.objects.all()] == [kept.pk]


@pytest.mark.django_db(transaction=True)
def test_two_at_once_do_not_disturb_each_other_or_who_writes() -> None:
    made = concurrently(6, lambda n: maintain_partitions() if n < 3 else make_event(clock.now()))

    events = [event for event in made if event is not None]
    assert len(partitions()) == WEEKS_AHEAD + 2
    assert {partition_of(event) for event in events} == {name_of(monday_of(clock.now()))}


def test_the_log_of_deliveries_has_weeks_with_room_and_the_undelivered_go_with_it() -> None:
    maintain_partitions()

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT replace(c.relname, 'webhooks_delivery', ''), c.reloptions"
            "  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'webhooks_delivery'::regclass"
        )
        log = dict(cursor.fetchall())
        cursor.execute(
            "SELECT replace(inhrelid::regclass::text, 'webhooks_undelivered', '')"
            "  FROM pg_inherits WHERE inhparent = 'webhooks_undelivered'::regclass"
        )
        undelivered = {name for (name,) in cursor.fetchall()}
    assert undelivered == set(log)
    assert all(options == ["fillfactor=50"] for options in log.values())
