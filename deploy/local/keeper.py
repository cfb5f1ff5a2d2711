"""Keeps one program running: starts it again after a crash, later each time."""

import time
from collections.abc import Callable

from deploy.local.child import Child, Program
from deploy.local.console import Console
from deploy.local.errors import LocalError

_FIRST_DELAY_SECONDS = 1.0
_LONGEST_DELAY_SECONDS = 30.0
_STEADY_SECONDS = 60.0


class Keeper:
    """One program and its current child. `look` does what is due and never waits."""

    def __init__(
        self, program: Callable[[], Program], console: Console, child: Child | None = None
    ) -> None:
        """`program` is asked at every start; `child` is one that already runs."""
        self._program = program
        self._console = console
        self._delay = _FIRST_DELAY_SECONDS
        self._restart_at: float | None = None
        self._started_at = time.monotonic()
        self.child = child or self._start()

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
            self._schedule(f"ended with status {self.child.status()}")

    def kill(self) -> None:
        """End a child that hangs; `look` starts it again."""
        self.child.finish(0)

    def _restart(self) -> None:
        self._restart_at = None
        try:
            self.child = self._start()
        except (LocalError, OSError) as error:
            self._schedule(f"cannot start: {error}")

    def _start(self) -> Child:
        self._started_at = time.monotonic()
        return Child(self._program(), self._console.line)

    def _schedule(self, reason: str) -> None:
        self.child.clear_up()
        steady = self.uptime >= _STEADY_SECONDS
        delay = _FIRST_DELAY_SECONDS if steady else self._delay
        self._delay = min(delay * 2, _LONGEST_DELAY_SECONDS)
        self._restart_at = time.monotonic() + delay
        name = self.child.program.name
        self._console.say(f"{name} {reason}; starting it again in {delay:.0f} s")
