"""The circuit breaker, its trials and the slow lane: what answers make of a pace, as rules."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from apps.common.ids import uuid7
from apps.common.outgoing.timing import Phases
from apps.webhooks.control import Control
from apps.webhooks.limits import ENDPOINT_CAP
from apps.webhooks.pace import (
    DISABLED_AFTER,
    DISABLED_AFTER_FAILURES,
    MAX_OPEN_SECONDS,
    MIN_FAILURES,
    State,
    paced,
)
from apps.webhooks.transport import Keyring, Outcome, Parcel

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def outcome(*, ok: bool = True, seconds: float = 0.1, control: Control | None = None) -> Outcome:
    parcel = Parcel(
        delivery_id=uuid7(),
        lease_id=uuid7(),
        endpoint_id=uuid7(),
        event_id=uuid7(),
        step=0,
        url="http://receiver.example/",
        keyring=Keyring(()),
        body=b"",
        occurred_at=0.0,
        leased_at=0.0,
    )
    return Outcome(
        parcel=parcel,
        started=0.0,
        duration=seconds,
        headers={},
        phases=Phases(None, None, None, None),
        status_code=204 if ok else 500,
        control=control or Control(),
    )


GOOD, BAD = outcome(), outcome(ok=False)


def tripped(now: datetime = NOW) -> State:
    return paced(State(), [BAD] * MIN_FAILURES, now)


def test_a_breaker_opens_when_most_of_at_least_ten_requests_failed() -> None:
    before = paced(State(), [BAD] * (MIN_FAILURES - 1), NOW)
    mixed = paced(State(), [GOOD, GOOD, BAD] * MIN_FAILURES, NOW)

    assert before.closed_until is None
    assert mixed.closed_until is None
    opened = tripped()
    assert opened.closed_until is not None
    assert timedelta(seconds=5) <= opened.closed_until - NOW <= timedelta(seconds=5.5)
    assert opened.places == 1


def test_failures_of_long_ago_do_not_count() -> None:
    before = paced(State(), [BAD] * (MIN_FAILURES - 1), NOW)

    later = paced(before, [BAD], NOW + timedelta(minutes=6))

    assert later.closed_until is None
    assert later.failures == MIN_FAILURES


def test_what_was_under_way_when_it_opened_changes_nothing() -> None:
    opened = tripped()

    after = paced(opened, [BAD] * 4, NOW + timedelta(seconds=1))

    assert (after.closed_until, after.openings) == (opened.closed_until, 1)


def test_each_failed_trial_doubles_the_rest_up_to_ten_minutes() -> None:
    state, now, rests = tripped(), NOW, []
    for _ in range(10):
        assert state.closed_until is not None
        rests.append((state.closed_until - now).total_seconds())
        now = state.closed_until
        state = paced(state, [BAD], now)

    for number, rest in enumerate(rests):
        expected = min(5 * 2**number, MAX_OPEN_SECONDS)
        assert expected <= rest <= expected * 1.1
    assert state.places == 1


def test_successes_raise_the_trials_until_it_is_sent_to_as_usual() -> None:
    state, now = tripped(), NOW + timedelta(seconds=6)
    places = []
    while state.places is not None:
        state = paced(state, [GOOD], now)
        places.append(state.places)

    assert places == [2, 4, None]
    assert (state.failures, state.failing_since, state.openings) == (0, None, 0)
    assert state.closed_until is None


def test_slow_answers_in_a_row_are_counted_and_a_quick_one_ends_the_row() -> None:
    slow = paced(State(), [outcome(seconds=6), outcome(ok=False, seconds=15)] * 2, NOW)

    assert slow.sluggish == 4
    assert paced(slow, [GOOD], NOW).sluggish == 0


def test_a_receiver_that_wants_no_retry_is_well() -> None:
    state = paced(State(), [outcome(ok=False, control=Control(retry=False))] * 50, NOW)

    assert (state.failures, state.closed_until) == (0, None)


def test_a_pause_is_kept_to_whatever_succeeds_meanwhile() -> None:
    paused = paced(State(), [outcome(control=Control(pause=60)), GOOD], NOW)

    assert paused.closed_until == NOW + timedelta(seconds=60)
    assert paused.failures == 0


def test_it_is_given_up_after_five_days_without_a_success() -> None:
    late = NOW + DISABLED_AFTER
    often = paced(State(), [BAD] * (DISABLED_AFTER_FAILURES - 1), NOW)

    assert not paced(often, [BAD], late - timedelta(seconds=1)).is_given_up
    assert paced(often, [BAD], late).is_given_up
    assert not paced(often, [GOOD, BAD], late).is_given_up
    assert not paced(paced(State(), [BAD], NOW), [BAD], late).is_given_up, "two are not enough"


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.floats(0, 20),
            st.floats(0, 700),
            st.sampled_from([None, Control(retry=False), Control(pause=30)]),
        ),
        max_size=60,
    )
)
def test_whatever_happens_it_never_stays_closed_for_ever(
    story: list[tuple[bool, float, float, Control | None]],
) -> None:
    state, now = State(), NOW
    for ok, seconds, passed, control in story:
        now += timedelta(seconds=passed)
        state = paced(state, [outcome(ok=ok, seconds=seconds, control=control)], now)

        assert state.places is None or 1 <= state.places < ENDPOINT_CAP
        if state.closed_until is not None:
            assert state.closed_until - now <= timedelta(seconds=MAX_OPEN_SECONDS * 1.1)
        if ok:
            assert not state.failures
            assert not state.is_failing
        assert (state.failures == 0) == (state.failing_since is None)
