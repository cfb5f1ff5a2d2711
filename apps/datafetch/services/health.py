"""How a stream fares after a run that failed: whether it counts as failing, is paused, and is written about."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from apps.datafetch.limits import (
    FAILING_AFTER,
    FAILING_SECONDS,
    PAUSE_AFTER,
    PAUSE_SECONDS,
    WRITTEN_AGAIN_SECONDS,
)
from apps.datafetch.models import Progress

# Its owner wants runs to fail of it: there is nothing to wait for. An e-mail has told of the change itself.
SCHEMA_CHANGED = "schema_changed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`outcome` is for the columns of the progress; the rest says what is told of it."""

    has_news: bool
    is_paused_now: bool
    is_written: bool
    outcome: dict[str, Any] = field(default_factory=dict)


def after_failure(current: Progress, cause: str, now: datetime) -> Verdict:
    """What one more failed run means for a stream whose progress was `current` before it."""
    failures = current.failures + 1
    since = current.failing_since or now
    for_so_long = (now - since).total_seconds()
    is_failing = (
        bool(current.told)
        or current.succeeded_at is None
        or cause == SCHEMA_CHANGED
        or failures >= FAILING_AFTER
        or for_so_long >= FAILING_SECONDS
    )
    has_news = is_failing and cause not in current.told
    pauses = failures >= PAUSE_AFTER and for_so_long >= PAUSE_SECONDS
    is_paused_now = pauses and current.paused_at is None
    is_written = is_paused_now or (
        has_news and cause != SCHEMA_CHANGED and _may_write(current, since, now)
    )
    outcome: dict[str, Any] = {"failures": failures, "failing_since": since}
    if has_news:
        outcome["told"] = [*current.told, cause]
    if is_paused_now:
        outcome["paused_at"] = now
    if is_written:
        outcome["warned_at"] = now
    return Verdict(has_news, is_paused_now, is_written, outcome)


def was_written_about(current: Progress) -> bool:
    """Whether an e-mail has told that the stream is failing as it now is."""
    since, warned = current.failing_since, current.warned_at
    return since is not None and warned is not None and warned >= since


def _may_write(current: Progress, since: datetime, now: datetime) -> bool:
    """Each cause of one failing is written about, but not each failing of a stream that comes and goes."""
    again = timedelta(seconds=WRITTEN_AGAIN_SECONDS)
    return current.warned_at is None or not since > current.warned_at > now - again
