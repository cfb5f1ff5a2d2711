"""Cursors of incremental reading: which value is greater, and how far to look back."""

from datetime import date, datetime, timedelta
from typing import Any

MAX_LENGTH = 200
# Above it a number of seconds since 1970 would be past the year 5000, so that it is milliseconds.
_MILLISECONDS_FROM = 100_000_000_000
# With room to look back: JSON is written with 64 bits. Infinity is no place to go on from either.
_TOO_GREAT = 2**62


def greater(one: Any, other: Any) -> Any:
    """The greater of two cursor values: numbers, times, or texts in their own order."""
    if not _is_value(other):
        return one
    if not _is_value(one):
        return other
    if isinstance(one, str) and isinstance(other, str):
        first, second = _moment(one), _moment(other)
        if first is not None and second is not None:
            return other if second > first else one
        return max(one, other)
    if isinstance(one, str) or isinstance(other, str):
        return one  # of two kinds neither is greater
    return max(one, other)


def looking_back(value: Any, seconds: int) -> Any:
    """`value` that many seconds earlier, written as it was; what is no time stays as it is."""
    if not seconds or not _is_value(value):
        return value
    if not isinstance(value, str):
        factor = 1000 if value >= _MILLISECONDS_FROM else 1
        return value - seconds * factor
    moment = _moment(value)
    if moment is None:
        return value
    try:
        earlier = moment - timedelta(seconds=seconds)
    except OverflowError:
        return value
    if len(value) == len("2026-11-21"):
        return earlier.date().isoformat()
    fraction = len(value.partition(".")[2].rstrip("Zz").partition("+")[0].partition("-")[0])
    spec = "microseconds" if fraction > 3 else "milliseconds" if fraction else "seconds"
    written = earlier.isoformat(sep=value[10], timespec=spec)
    if moment.tzinfo is None or value[-1] not in "Zz":
        return written.removesuffix("+00:00") if moment.tzinfo is None else written
    return written.removesuffix("+00:00") + value[-1]


def _is_value(value: Any) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= MAX_LENGTH and value.isprintable()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < _TOO_GREAT


def _moment(text: str) -> datetime | None:
    if len(text) < len("2026-11-21"):
        return None
    try:
        if len(text) == len("2026-11-21"):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day)  # noqa: DTZ001 - compared with its like alone
        return datetime.fromisoformat(text)
    except ValueError:
        return None
