"""Waiting for a condition instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.005
PATIENCE_SECONDS = 30.0  # for what takes milliseconds, on a machine that has a lot else to do


def wait_until(
    predicate: Callable[[], T], *, seconds: float = PATIENCE_SECONDS, what: str = ""
) -> T:
    """The first truthy value of `predicate`; AssertionError when none comes within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := predicate()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what or predicate}")
        time.sleep(POLL_SECONDS)
    return value
