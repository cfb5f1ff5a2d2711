"""When a failed delivery is tried again: the published schedule."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Seconds from a failed attempt to the next: 11 attempts within 3 days and 4 hours.
SCHEDULE: tuple[float, ...] = (
    5,
    30,
    5 * 60,
    30 * 60,
    2 * 3600,
    5 * 3600,
    10 * 3600,
    14 * 3600,
    20 * 3600,
    24 * 3600,
)
# An ordered endpoint whose `on_failure` is `park` lets a subject go on after so many of these: 6 minutes.
RETRIES_BEFORE_SET_ASIDE = 3
# Jitter only ever adds: retries of one outage spread out, and none undercuts Retry-After.
MAX_JITTER = 0.1
MAX_HINT_SECONDS = 10 * 3600.0


def seconds_until_retry(step: int, hint: float | None) -> float | None:
    """The wait after the attempt at `step` (0 is the first) failed; None when it was the last.

    `hint` is the receiver's Retry-After in seconds: waited for when it is longer, up to 10 hours.
    """
    if step >= len(SCHEDULE):
        return None
    wait = max(SCHEDULE[step], min(hint or 0.0, MAX_HINT_SECONDS))
    return wait * (1 + random.uniform(0, MAX_JITTER))  # noqa: S311 - spreads load, guards nothing


def retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds from a Retry-After header, a number or an HTTP date; None when it says nothing usable."""
    if header is None or len(header) > 100:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - now).total_seconds(), 0.0)
