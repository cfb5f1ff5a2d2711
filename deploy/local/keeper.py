"""Keeps one program running: starts it again after a crash, later each time."""

import time
from collections.abc import Callable

from deploy.local.child import Child
from deploy.local.console import Console
from deploy.local.errors import LocalError

_FIRST_DELAY_SECONDS = 1.0
_LONGEST_DELAY_SECONDS = 30.0
_STEADY_SECONDS = 60.0


class Keeper:
    """One program and its current child. `look` does what is due and never waits."""

    def __init__(self, child: Child, start_again: Callable[[], Child], console: Console) -> None:
        """`start_again` may raise LocalError or OSError: it is tried again later."""
        self.child = child
        self._start_again = start_again
        self._console = console
        self._delay = _FIRST_DELAY_SECONDS
        self._restart_at: float | None = None
        self._started_at = time.monotonic()

    @property
    def uptime(self) -> float:
        """Seconds since the last start."""
        return time.monotonic() - self._started_at

    def look(self) -> None:
        """Note the child's end, or start it again when its time has come."""
        if self._restart_at is not None:
            if time.monotonic() >= self._restart_at:
                self._restart()
        elif self.child.status() is not None:
            self.child.clear_up()
            self._schedule(f"ended with status {self.child.status()}")

    def _restart(self) -> None:
        self._restart_at = None
        self._started_at = time.monotonic()
        try:
            self.child = self._start_again()
        except (LocalError, OSError) as error:
            self._schedule(f"cannot start ({error})")

    def _schedule(self, reason: str) -> None:
        if self.uptime >= _STEADY_SECONDS:
            self._delay = _FIRST_DELAY_SECONDS
        name, delay = self.child.program.name, self._delay
        self._console.say(f"{name} {reason}; starting it again in {delay:.0f} s")
        self._restart_at = time.monotonic() + delay
        self._delay = min(delay * 2, _LONGEST_DELAY_SECONDS)
