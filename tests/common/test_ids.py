"""Ids are UUIDv7 and sort by time."""

import uuid
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from apps.common.ids import uuid7, uuid7_at, uuid7_bounds, uuid7_floor

moments = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001 - the strategy wants them so
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def test_ids_are_of_version_7() -> None:
    made = [uuid7(), uuid7_at(datetime.now(UTC))]

    assert [(one.version, one.variant) for one in made] == [(7, uuid.RFC_4122)] * 2
    assert all(isinstance(one, uuid.UUID) for one in made)


def test_ids_of_a_process_increase() -> None:
    made = [uuid7() for _ in range(10_000)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_an_id_tells_when_it_was_made() -> None:
    before = datetime.now(UTC)
    made = uuid7()
    after = datetime.now(UTC)

    assert uuid7_floor(before) <= made < uuid7_floor(after + timedelta(milliseconds=1))


@given(moments, st.timedeltas(timedelta(microseconds=1), timedelta(days=1)))
def test_ids_of_a_given_moment_sort_by_it(moment: datetime, later: timedelta) -> None:
    assert uuid7_at(moment) < uuid7_at(moment + later)


@given(moments)
def test_the_floor_of_a_moment_parts_what_was_made_before_from_what_comes(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)  # what ranges are made of: weeks

    assert uuid7_at(moment - timedelta(microseconds=1)) < uuid7_floor(moment) <= uuid7_at(moment)


@given(moments)
def test_the_bounds_of_a_moment_hold_its_ids_and_no_others(moment: datetime) -> None:
    step = timedelta(microseconds=1)
    below, above = uuid7_bounds(moment)

    assert uuid7_at(moment - step) < below < uuid7_at(moment) < above < uuid7_at(moment + step)
