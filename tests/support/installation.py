"""A whole Tradepost as `make run` starts it, for tests that kill, freeze or double parts of it."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from deploy.local.environment import ROOT, read_variables
from deploy.local.services import free_port
from sandbox.client import Client
from tests.support import wait_until

START_SECONDS = 90.0
STOP_SECONDS = 40.0

# What the throw-away services of the test run say; this installation has services of its own.
_NOT_INHERITED = (
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "ENCRYPTION_KEYS",
    "OUTGOING_ALLOWED_NETWORKS",
    "HUBSPOT_BASE_URL",
    "DJANGO_SETTINGS_MODULE",
)


class Installation:
    """Its own DATA_DIR and PORT; `start` returns when it says that it is ready."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        data_dir.mkdir(exist_ok=True)
        self.port = free_port()
        self.log = data_dir / "make-run.log"
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._extras: list[subprocess.Popen[bytes]] = []
        self._clients: list[Client] = []

    def start(self) -> None:
        """Start all, await the line that says so; AssertionError when it does not come."""
        with self.log.open("wb") as log:
            self._supervisor = self._popen(
                [sys.executable, "-m", "deploy.local", "run"], stdout=log
            )
        wait_until(self._is_ready, seconds=START_SECONDS, what=f"readiness, see {self.log}")

    def stop(self) -> None:
        """As Ctrl-C does, and wait for the end of every process."""
        for client in self._clients:
            client.close()
        for extra in self._extras:
            extra.terminate()
            extra.wait(STOP_SECONDS)
        if self._supervisor is not None and self._supervisor.poll() is None:
            self._supervisor.send_signal(signal.SIGINT)
            self._supervisor.wait(STOP_SECONDS)

    def kill(self) -> None:
        """kill -9 to the supervisor and everything below it, at once."""
        assert self._supervisor is not None
        family = [self._supervisor.pid, *self.descendants()]
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._supervisor.wait(STOP_SECONDS)
        wait_until(lambda: not any(map(is_alive, family)), what="the end of the killed processes")

    def signal(self, program: str, number: signal.Signals) -> None:
        """Send a signal to the processes whose command line contains `program`."""
        found = [pid for pid in self.descendants() if program in command_line(pid)]
        assert found, f"no process {program}"
        for pid in found:
            os.kill(pid, number)

    def descendants(self) -> list[int]:
        """The pids of everything below the supervisor."""
        assert self._supervisor is not None
        parents = {
            int(entry.name): parent_of(int(entry.name))
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit()
        }
        found = [self._supervisor.pid]
        for pid in found:  # grows while it is walked
            found += [child for child, parent in parents.items() if parent == pid]
        return found[1:]

    def add(self, command: str) -> None:
        """Run one more process of this installation, such as a second worker."""
        program, *arguments = shlex.split(command)
        executable = str(Path(sys.executable).with_name(program))
        addresses = read_variables(self.data_dir / "services.env")
        secrets = read_variables(self.data_dir / "local.env")
        with (self.data_dir / "extra.log").open("ab") as log:
            self._extras.append(
                self._popen([executable, *arguments], stdout=log, **addresses, **secrets)
            )

    def client(self, slug: str, port: int | None = None) -> Client:
        """A client with the demo key of this account."""
        key = self.demo["accounts"][slug]["api_key"]
        self._clients.append(Client(f"http://127.0.0.1:{port or self.port}", key))
        return self._clients[-1]

    @property
    def demo(self) -> Any:
        return json.loads((self.data_dir / "demo.json").read_text())

    def _is_ready(self) -> bool:
        assert self._supervisor is not None
        assert self._supervisor.poll() is None, self.log.read_text()[-3000:]
        return f"Tradepost is ready at http://127.0.0.1:{self.port}" in self.log.read_text()

    def _popen(self, command: list[str], *, stdout: Any, **more: str) -> "subprocess.Popen[bytes]":
        environment = {
            name: value for name, value in os.environ.items() if name not in _NOT_INHERITED
        }
        environment |= {"DATA_DIR": str(self.data_dir), "PORT": str(self.port)} | more
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def copy_data(data_dir: Path, target: Path) -> None:
    """Copy the DATA_DIR of an installation that was stopped, to `target`, which is empty or not there."""
    is_elsewhere = (data_dir / "postgres").is_symlink()  # as another account's: it is made anew
    if not is_elsewhere:
        shutil.copytree(data_dir, target, dirs_exist_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead but not yet reaped does not."""
    with suppress(OSError):
        return _status_fields(pid)[0] not in "ZX"
    return False


def parent_of(pid: int) -> int:
    with suppress(OSError):
        return int(_status_fields(pid)[1])
    return 0


def command_line(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    return ""


def _status_fields(pid: int) -> list[str]:
    """What follows the name in /proc/PID/stat: state, parent, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
