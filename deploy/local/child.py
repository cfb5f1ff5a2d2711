"""One child process: started, read, stopped, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from deploy.local import launch
from deploy.local.relay import Relay

Log = Callable[[str, str], None]  # name of the program, line

_LAUNCH = str(Path(launch.__file__))
_POLL_SECONDS = 0.02
_LAST_LINES_SECONDS = 2.0


@dataclass(frozen=True)
class Program:
    """What to run, as whom, and how it likes to be stopped.

    `death_signal` is what it gets when the supervisor itself is killed: SIGTERM where a process
    must still look after children of its own, SIGKILL where it may hang on to its end.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path | None = None
    identity: str = launch.SELF
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    death_signal: signal.Signals = signal.SIGTERM
    keep_open: tuple[int, ...] = ()

    def arguments(self) -> list[str]:
        """The command line that starts it as a child of this process."""
        python = [sys.executable, "-I", "-S", _LAUNCH]
        life = [str(os.getpid()), str(int(self.death_signal)), self.identity]
        return [*python, *life, *self.command]


class Child:
    """A running program. With `log`, it has a session of its own and each line goes there."""

    def __init__(self, program: Program, relay: Relay, log: Log | None = None) -> None:
        """Start it. Its output is read, and its end awaited, through `relay`."""
        self.program = program
        self._relay = relay
        self._unfinished_line = b""
        self._process = subprocess.Popen(
            program.arguments(),
            env=dict(program.environment),
            cwd=program.folder,
            pass_fds=program.keep_open,
            stdin=subprocess.DEVNULL if log else None,
            stdout=subprocess.PIPE if log else None,
            stderr=subprocess.STDOUT if log else None,
            start_new_session=log is not None,
        )
        if log and self._process.stdout:
            relay.add(self._process.stdout, partial(self._receive, self._process.stdout, log))

    @property
    def pid(self) -> int:
        """Also the number of its session, if it has one."""
        return self._process.pid

    def status(self) -> int | None:
        """Its exit status, as a shell would give it, or None while it runs."""
        status = self._process.poll()
        return status if status is None or status >= 0 else 128 - status

    def ask_to_stop(self) -> None:
        """Send the signal that it likes to be stopped with."""
        self._process.send_signal(self.program.stop_signal)

    def wait(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        deadline = time.monotonic() + seconds
        while self.status() is None and time.monotonic() < deadline:
            self._relay.run(_POLL_SECONDS)
        return self.status() is not None

    def finish(self, seconds: float) -> bool:
        """Wait for its end, then kill it and what it left behind. Whether it ended by itself."""
        ended = self.wait(seconds)
        if not ended:
            self._process.kill()
            self._process.wait()
        self.clear_up()
        return ended

    def stop(self) -> bool:
        """Ask it to stop and see to it. Whether it did so by itself."""
        self.ask_to_stop()
        return self.finish(self.program.stop_seconds)

    def clear_up(self) -> None:
        """After its end: kill the children it left in its session, hand over its last lines."""
        output = self._process.stdout
        if output is None or output.closed:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        deadline = time.monotonic() + _LAST_LINES_SECONDS
        while not output.closed and time.monotonic() < deadline:
            self._relay.run(0)
        self._close(output)

    def _receive(self, output: IO[bytes], log: Log, data: bytes) -> None:
        *lines, self._unfinished_line = (self._unfinished_line + data).split(b"\n")
        if not data:
            self._close(output)
            lines = [self._unfinished_line] if self._unfinished_line else []
        for line in lines:
            log(self.program.name, line.decode(errors="replace").rstrip())

    def _close(self, output: IO[bytes]) -> None:
        if not output.closed:
            self._relay.remove(output)
            output.close()
