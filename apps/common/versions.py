"""Optimistic locking: whoever changes an object may say which version it has seen."""

from apps.common.errors import Stale


def require_version(actual: int, expected: frozenset[int] | None) -> None:
    """Raise `Stale` unless `actual` is among `expected` (None: no condition).

    Call it with the row locked, so that nothing changes between the look and the write.
    """
    if expected is not None and actual not in expected:
        raise Stale("Read it again, apply your change to what you find, and send that.")
