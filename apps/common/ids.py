"""Identifiers: UUIDv7 (RFC 9562), so that ids sort by the time at which they were made."""

import uuid
from datetime import UTC, datetime

from uuid_utils import compat


def uuid7() -> uuid.UUID:
    """A new UUIDv7, increasing within this process."""
    return compat.uuid7()


def uuid7_floor(moment: datetime) -> uuid.UUID:
    """The smallest UUIDv7-ordered value of the millisecond of `moment`: a bound for id ranges."""
    milliseconds = int(moment.astimezone(UTC).timestamp() * 1000)
    return uuid.UUID(int=milliseconds << 80)
