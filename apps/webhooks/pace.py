"""How fast an endpoint is sent to: what its answers make of its pace.

A circuit breaker: when seven of ten requests in five minutes have failed, nothing is sent for a while,
then one request to try it out, then two, four, as long as they succeed; each failure while it is tried out
doubles the while. An endpoint that keeps the sender waiting gets slots apart from all others.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from apps.webhooks.limits import ENDPOINT_CAP
from apps.webhooks.transport import Outcome

WINDOW = timedelta(minutes=5)
MIN_FAILURES = 10
FAILED_SHARE = 0.7
FIRST_OPEN_SECONDS = 5.0  # so that a first retry comes in time
MAX_OPEN_SECONDS = 600.0
SLUGGISH_SECONDS = 5.0
# From so many failures in a row on, an endpoint counts as failing.
FAILING_AFTER = 3
# It is disabled when it has failed for so long, and so often, without one success.
DISABLED_AFTER = timedelta(days=5)
DISABLED_AFTER_FAILURES = 10


@dataclass(frozen=True, slots=True)
class State:
    """The columns of `Pace` that answers change, under their names."""

    failures: int = 0
    failing_since: datetime | None = None
    failed_at: datetime | None = None
    sluggish: int = 0
    window_at: datetime | None = None
    window_sent: int = 0
    window_failed: int = 0
    closed_until: datetime | None = None
    openings: int = 0
    places: int | None = None

    @property
    def is_failing(self) -> bool:
        return self.failures >= FAILING_AFTER

    @property
    def is_given_up(self) -> bool:
        """Whether it has failed for so long that it is to be disabled."""
        if self.failing_since is None or self.failed_at is None:
            return False
        return (
            self.failures >= DISABLED_AFTER_FAILURES
            and self.failed_at - self.failing_since >= DISABLED_AFTER
        )


def is_notable(outcome: Outcome) -> bool:
    """Whether the outcome may change a pace, or make one."""
    return (
        outcome.parcel.is_watched
        or not outcome.is_success
        or outcome.control.pause is not None
        or outcome.duration > SLUGGISH_SECONDS
    )


def paced(state: State, outcomes: Sequence[Outcome], now: datetime) -> State:
    """The state after some outcomes of one endpoint, in the order of their ends."""
    for outcome in outcomes:
        state = _after(state, outcome, now)
    return state


def _after(state: State, outcome: Outcome, now: datetime) -> State:
    is_sluggish = outcome.duration > SLUGGISH_SECONDS
    state = replace(state, sluggish=state.sluggish + 1 if is_sluggish else 0)
    if outcome.is_success:
        state = _after_success(state, now)
    elif outcome.control.retry:
        state = _after_failure(state, now)
    # Else the receiver is well, and does not want this one.
    if outcome.control.pause is not None:
        until = now + timedelta(seconds=outcome.control.pause)
        state = replace(state, closed_until=max(state.closed_until or until, until))
    return state


def _after_success(state: State, now: datetime) -> State:
    state = _counted(state, now, failed=0)
    state = replace(state, failures=0, failing_since=None)
    if state.places is None:
        return state
    places = state.places * 2
    if places < ENDPOINT_CAP:
        return replace(state, places=places, closed_until=None)
    return replace(state, places=None, closed_until=None, openings=0)


def _after_failure(state: State, now: datetime) -> State:
    state = replace(
        _counted(state, now, failed=1),
        failures=state.failures + 1,
        failing_since=state.failing_since or now,
        failed_at=now,
    )
    if state.closed_until is not None and state.closed_until > now:
        return state  # it was under way when the breaker opened
    is_tried_out = state.places is not None
    has_tripped = (
        state.window_failed >= MIN_FAILURES
        and state.window_failed >= FAILED_SHARE * state.window_sent
    )
    return _opened(state, now) if is_tried_out or has_tripped else state


def _counted(state: State, now: datetime, *, failed: int) -> State:
    if state.window_at is None or now - state.window_at > WINDOW:
        state = replace(state, window_at=now, window_sent=0, window_failed=0)
    return replace(
        state,
        window_sent=state.window_sent + 1,
        window_failed=state.window_failed + failed,
    )


def _opened(state: State, now: datetime) -> State:
    seconds = min(FIRST_OPEN_SECONDS * 2 ** min(state.openings, 20), MAX_OPEN_SECONDS)
    seconds *= random.uniform(1.0, 1.1)  # noqa: S311 - spreads load, guards nothing
    return replace(
        state,
        closed_until=now + timedelta(seconds=seconds),
        openings=min(state.openings + 1, 100),
        places=1,
        window_at=None,
    )
