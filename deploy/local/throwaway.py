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

from deploy.local.child import Child, Program
from deploy.local.environment import LOOPBACK_NETWORKS, new_encryption_key
from deploy.local.errors import LocalError
from deploy.local.relay import Relay
from deploy.local.services import EmbeddedPostgres, EmbeddedValkey, Service, start_service
from deploy.local.stopping import StopRequested, StopWish, stop_wish

_LAST_LINES = 50
_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.1


def run_throwaway(command: list[str], *, user_namespaces: bool = True) -> int:
    """Run it with DATABASE_URL, REDIS_URL and the rest set; returns its exit status.

    Nothing of it remains afterwards, however it ended. Raises LocalError if a service does not
    start or there is no such command.
    """
    program = shutil.which(command[0])
    if program is None:
        raise LocalError(f"There is no command {command[0]!r}")
    relay = Relay()
    with stop_wish() as wish:
        try:
            with _throwaway_environment(relay, wish, user_namespaces) as environment:
                return _run((program, *command[1:]), environment, relay, wish)
        except StopRequested:
            return 128 + wish.number


def _run(
    command: tuple[str, ...], environment: dict[str, str], relay: Relay, wish: StopWish
) -> int:
    # SIGKILL of this process must not leave a test run working on services that are gone.
    child = Child(Program("command", command, environment, death_signal=signal.SIGTERM), relay)
    while not child.wait(_POLL_SECONDS) and not wish.number:
        pass
    status = child.status()
    if status is None:
        # A terminal has given its Ctrl-C to the command too; a second one would cut it short.
        if wish.number == signal.SIGTERM:
            child.ask_to_stop()
        child.finish(_GRACE_SECONDS)
        status = 128 + wish.number
    return status


@contextmanager
def _throwaway_environment(
    relay: Relay, wish: StopWish, user_namespaces: bool
) -> Iterator[dict[str, str]]:
    data_dir = Path(tempfile.mkdtemp(prefix="tradepost-")).resolve()
    postgres = EmbeddedPostgres(
        data_dir, secrets.token_hex(16), durable=False, user_namespaces=user_namespaces
    )
    valkey = EmbeddedValkey(data_dir, secrets.token_hex(16))
    children: list[Child] = []
    try:
        children.append(_start_quietly(postgres, relay, wish))
        children.append(_start_quietly(valkey, relay, wish))
        yield {
            **os.environ,
            "DATA_DIR": str(data_dir),
            postgres.address_variable: postgres.url,
            valkey.address_variable: valkey.url,
            "BROKER_URL": valkey.url,
            "SECRET_KEY": secrets.token_urlsafe(50),
            "ENCRYPTION_KEYS": new_encryption_key(),
            "OUTGOING_ALLOWED_NETWORKS": LOOPBACK_NETWORKS,
        }
    finally:
        for child in children:
            child.stop()
        postgres.discard()
        shutil.rmtree(data_dir, ignore_errors=True)


def _start_quietly(service: Service, relay: Relay, wish: StopWish) -> Child:
    """Start it, and show what it said only if it does not come up."""
    lines: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        return start_service(service, relay, lambda _name, line: lines.append(line), wish)
    except LocalError:
        print(*lines, sep="\n", file=sys.stderr)
        raise
