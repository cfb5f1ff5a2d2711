"""Servers of a test's own, started as `make run` starts them and stopped when the test ends."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from deploy.local.child import Child
from deploy.local.relay import Relay
from deploy.local.services import EmbeddedPostgres, Service, start_service
from deploy.local.stopping import StopWish

# PostgreSQL refuses to run as root, so `make run` gives root's another account: nobody else can change to one, and
# nobody else needs it. Where tests run as root, as on a bare machine, none of these is left out.
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
# Which processes are left, and what they hold, is read from /proc, which macOS has not: `make run` works there, these
# tests cannot look at it.
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

Start = Callable[[Service], Child]


def processes_on(data_dir: Path | str) -> list[int]:
    """Those that name this DATA_DIR on their command line or in their environment, or are in it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            said = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            if str(data_dir) in said.decode(errors="replace") + os.readlink(entry / "cwd"):
                found.append(int(entry.name))
    return found


@contextmanager
def running(service: Service) -> Iterator[Child]:
    """Start it, and stop it at the end unless it has ended by itself."""
    child = start_service(service, Relay(), lambda _name, _line: None, StopWish())
    try:
        yield child
    finally:
        child.stop()


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts services that run until the end of the test."""
    with ExitStack() as stack:
        yield lambda service: stack.enter_context(running(service))


@pytest.fixture
def postgres(tmp_path: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(tmp_path, "secret", durable=False)
