"""When a stream runs next, and when a page is tried again."""

import random
from datetime import datetime, timedelta

from cronsim import CronSim

from apps.datafetch.limits import (
    FIRST_DELAY,
    JITTER,
    MAX_DELAY,
    MAX_JITTER,
    PROBE_RARELY_AFTER,
    PROBE_RARELY_SECONDS,
    PROBE_SECONDS,
)
from apps.datafetch.models import Stream


def next_time(
    stream: Stream, *, after: datetime, now: datetime, paused_at: datetime | None = None
) -> datetime:
    """The next scheduled time after a run that began at `after`, with some jitter.

    Times missed meanwhile are not made up for: whatever is overdue runs once, now. A stream that is
    paused is only probed.
    """
    if stream.interval_seconds is not None:
        interval = float(stream.interval_seconds)
        planned = after + timedelta(seconds=interval)
    else:
        planned = next(CronSim(stream.cron, max(after, now)))
        interval = (planned - now).total_seconds()
    if paused_at is not None:
        is_long = (now - paused_at).total_seconds() >= PROBE_RARELY_AFTER
        pause = PROBE_RARELY_SECONDS if is_long else PROBE_SECONDS
        planned = max(planned, now + timedelta(seconds=pause))
    jitter = random.uniform(0, min(interval * JITTER, MAX_JITTER))  # noqa: S311 - no secret
    return max(planned + timedelta(seconds=jitter), now)


def retry_delay(attempt: int) -> float:
    """Seconds before a page is tried again after `attempt` failures: doubling, the half of it at random."""
    delay = min(FIRST_DELAY * 2.0 ** (attempt - 1), MAX_DELAY)
    return delay * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
