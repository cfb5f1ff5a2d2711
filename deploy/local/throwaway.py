"""A command with a database and a broker of its own, made for it and thrown away after it."""

import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import FrameType

from deploy.local.child import Child, Program
from deploy.local.environment import LOOPBACK_NETWORKS, new_encryption_key
from deploy.local.errors import LocalError
from deploy.local.services import EmbeddedPostgres, EmbeddedValkey, Service, start_service

_LAST_LINES = 50
_GRACE_SECONDS = 10.0


def run_throwaway(command: list[str], *, user_namespaces: bool = True) -> int:
    """Run it with DATABASE_URL, REDIS_URL and the rest set; returns its exit status.

    Nothing of it remains afterwards, however it ended. Raises LocalError if a service does not
    start or there is no such command.
    """
    program = shutil.which(command[0])
    if program is None:
        raise LocalError(f"There is no command {command[0]!r}")
    with _stop_requests() as stop, _throwaway_environment(user_namespaces) as environment:
        return _run((program, *command[1:]), environment, stop)


def _run(command: tuple[str, ...], environment: dict[str, str], stop: "_StopRequest") -> int:
    # SIGKILL of this process must not leave a test run working on services that are gone.
    child = Child(Program("command", command, environment, death_signal=signal.SIGTERM))
    while (status := child.status()) is None and not stop.wait(0.05):
        pass
    if status is None:
        # A terminal has given its Ctrl-C to the command too; a second one would cut it short.
        if stop.number == signal.SIGTERM:
            child.ask_to_stop()
        child.finish(_GRACE_SECONDS)
        status = 128 + stop.number
    return status


class _StopRequest(Event):
    number: int = 0

    def receive(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        self.set()


@contextmanager
def _stop_requests() -> Iterator[_StopRequest]:
    """Within it, SIGINT and SIGTERM are noted instead of ending this process at once."""
    request = _StopRequest()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, request.receive) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _throwaway_environment(user_namespaces: bool) -> Iterator[dict[str, str]]:
    data_dir = Path(tempfile.mkdtemp(prefix="tradepost-")).resolve()
    postgres = EmbeddedPostgres(
        data_dir, secrets.token_hex(16), durable=False, user_namespaces=user_namespaces
    )
    valkey = EmbeddedValkey(data_dir, secrets.token_hex(16))
    children: list[Child] = []
    try:
        children.append(_start_quietly(postgres))
        children.append(_start_quietly(valkey))
        yield {
            **os.environ,
            "DATA_DIR": str(data_dir),
            "DATABASE_URL": postgres.url,
            "REDIS_URL": valkey.url,
            "SECRET_KEY": secrets.token_urlsafe(50),
            "ENCRYPTION_KEYS": new_encryption_key(),
            "OUTGOING_ALLOWED_NETWORKS": LOOPBACK_NETWORKS,
        }
    finally:
        for child in children:
            child.stop()
        postgres.discard()
        shutil.rmtree(data_dir, ignore_errors=True)


def _start_quietly(service: Service) -> Child:
    """Start it, and show what it said only if it does not come up."""
    lines: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        return start_service(service, lambda _name, line: lines.append(line))
    except LocalError:
        print(*lines, sep="\n", file=sys.stderr)
        raise
