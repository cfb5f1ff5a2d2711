"""The retry schedule, and the numbers that must fit together."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from apps.common.outgoing import aio
from apps.webhooks import limits
from apps.webhooks.retries import MAX_HINT_SECONDS, SCHEDULE, retry_after, seconds_until_retry

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_the_schedule_runs_over_about_three_days() -> None:
    assert timedelta(days=3) <= timedelta(seconds=sum(SCHEDULE)) <= timedelta(days=3.5)
    assert list(SCHEDULE) == sorted(SCHEDULE)


@given(st.integers(0, len(SCHEDULE) - 1))
def test_jitter_only_adds_and_at_most_a_tenth(step: int) -> None:
    wait = seconds_until_retry(step, None)

    assert wait is not None
    assert SCHEDULE[step] <= wait <= SCHEDULE[step] * 1.1


def test_the_first_retry_comes_within_ten_seconds_of_the_failure() -> None:
    sweep = 1.0  # webhooks.deliver runs every second at the latest

    assert SCHEDULE[0] * 1.1 + sweep < 10


def test_after_the_last_retry_there_is_none() -> None:
    assert seconds_until_retry(len(SCHEDULE), None) is None
    assert seconds_until_retry(len(SCHEDULE), 60.0) is None


@given(st.integers(0, len(SCHEDULE) - 1), st.floats(0, 10**9))
def test_a_hint_is_never_undercut_and_capped(step: int, hint: float) -> None:
    wait = seconds_until_retry(step, hint)

    assert wait is not None
    assert wait >= min(hint, MAX_HINT_SECONDS)
    assert wait >= SCHEDULE[step]
    assert wait <= max(SCHEDULE[step], MAX_HINT_SECONDS) * 1.1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("Sat, 21 Nov 2026 12:01:00 -0000", 60.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Mon, 99 Jan 2026 00:00:00 GMT", None),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999", None),
        ("9" * 101, None),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


@given(st.text(max_size=60))
def test_no_retry_after_breaks_anything(header: str) -> None:
    found = retry_after(header, NOW)

    assert found is None or found >= 0


@pytest.mark.django_db
def test_a_lease_outlasts_all_that_can_happen_under_it() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT setting::float / 1000 FROM pg_settings WHERE name = 'statement_timeout'"
        )
        statement_seconds = cursor.fetchone()[0]

    assert 2 * statement_seconds <= limits.RECORD_SECONDS
    assert (
        limits.MAX_WAIT_SECONDS + aio.TOTAL_SECONDS + limits.RECORD_SECONDS <= limits.LEASE_SECONDS
    )


def test_one_process_can_have_two_hundred_under_way() -> None:
    assert limits.SLOTS >= 200
