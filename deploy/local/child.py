"""One child process: started, read, stopped, and never left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from deploy.local import launch

Log = Callable[[str, str], None]

_LAUNCH = str(Path(launch.__file__))
_READER_SECONDS = 2.0


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
    keep_open: tuple[int, ...] = field(default=())

    def arguments(self) -> list[str]:
        """The command line that starts it as a child of this process."""
        python = [sys.executable, "-I", "-S", _LAUNCH]
        life = [str(os.getpid()), str(int(self.death_signal)), self.identity]
        return [*python, *life, *self.command]


class Child:
    """A running program. With `log`, it has a session of its own and each line goes there."""

    def __init__(self, program: Program, log: Log | None = None) -> None:
        """Start it. Must be called from the main thread: the kernel ties its life to that."""
        self.program = program
        self._log = log
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
        self._reader = Thread(target=self._relay, name=program.name, daemon=True)
        if log:
            self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _relay(self) -> None:
        assert self._process.stdout and self._log
        for line in self._process.stdout:
            self._log(self.program.name, line.decode(errors="replace").rstrip())

    def status(self) -> int | None:
        """Its exit status, as a shell would give it, or None while it runs."""
        status = self._process.poll()
        return status if status is None or status >= 0 else 128 - status

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ask_to_stop(self) -> None:
        self.signal(self.program.stop_signal)

    def wait(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self.status() is not None

    def finish(self, seconds: float) -> bool:
        """Wait for its end, then kill it and what it left behind. Whether it ended by itself."""
        ended = self.wait(seconds)
        if not ended:
            self._process.kill()
            self._process.wait()
        self.clear_up()
        return ended

    def clear_up(self) -> None:
        """After its end: kill the children it left in its session, print its last lines."""
        if not self._log:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._reader.join(_READER_SECONDS)

    def stop(self) -> bool:
        """Ask it to stop and see to it. Whether it did so by itself."""
        self.ask_to_stop()
        return self.finish(self.program.stop_seconds)
