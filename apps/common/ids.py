"""Identifiers: UUIDv7 (RFC 9562), so that ids sort by the time at which they were made."""

import secrets
import uuid
from datetime import UTC, datetime, timedelta

from uuid_utils import compat

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def uuid7() -> uuid.UUID:
    """A new UUIDv7, increasing within this process."""
    return compat.uuid7()


def uuid7_at(moment: datetime) -> uuid.UUID:
    """A new UUIDv7 of `moment`, to the microsecond: for rows whose ids must sort by PostgreSQL's clock,
    whichever process makes them."""
    return uuid.UUID(int=_high(moment) << 64 | 0b10 << 62 | secrets.randbits(62))


def uuid7_bounds(moment: datetime) -> tuple[uuid.UUID, uuid.UUID]:
    """Below and above all ids that `uuid7_at` makes of `moment`, and of no other microsecond."""
    first = _high(max(moment, _EPOCH)) << 64
    return uuid.UUID(int=first), uuid.UUID(int=first | (1 << 64) - 1)


def uuid7_floor(moment: datetime) -> uuid.UUID:
    """The smallest UUIDv7-ordered value of the millisecond of `moment`: a bound for id ranges."""
    return uuid.UUID(int=max(_microseconds(moment) // 1000, 0) << 80)


def _high(moment: datetime) -> int:
    milliseconds, rest = divmod(_microseconds(moment), 1000)
    return milliseconds << 16 | 0x7 << 12 | rest * 4096 // 1000


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
