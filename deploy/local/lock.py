"""One run per DATA_DIR: a lock held by the supervisor and, through it, by all that it starts.

The kernel lets go of it when the last of them is gone. So the lock being free means that nothing of
an earlier run is left, and whoever holds it without a supervisor is left over from a killed one.
"""

import fcntl
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from deploy.local.errors import LocalError

_ASK_AFTER_SECONDS = 2.0
_KILL_AFTER_SECONDS = 20.0
_GIVE_UP_AFTER_SECONDS = 25.0


def lock_run(path: Path) -> int:
    """The descriptor of the lock; it is held until that is closed, here and in every child.

    Ends what a killed run left behind. Raises LocalError if another run is alive.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    started = time.monotonic()
    told: set[tuple[int, signal.Signals]] = set()
    while not _try(descriptor):
        leftovers = _leftovers(path)
        waited = time.monotonic() - started
        if waited > _GIVE_UP_AFTER_SECONDS:
            raise LocalError(f"Processes of an earlier run still hold {path}: end them")
        number = signal.SIGKILL if waited > _KILL_AFTER_SECONDS else signal.SIGINT
        # Most of them are ending already, told by the kernel when their supervisor died.
        for pid in leftovers if waited > _ASK_AFTER_SECONDS else ():
            if (pid, number) not in told:
                told.add((pid, number))
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        time.sleep(0.05)
    return descriptor


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _leftovers(path: Path) -> list[int]:
    """Who has the lock open. Raises LocalError if a supervisor is among them."""
    holders = [pid for pid in _all_pids() if pid != os.getpid() and _has_open(pid, path)]
    for pid in holders:
        if _is_supervisor(pid):
            raise LocalError(
                f"Tradepost already runs on {path.parent.parent} (pid {pid}): stop it with Ctrl-C"
                " there, or set another DATA_DIR and PORT here"
            )
    return holders


def _all_pids() -> list[int]:
    proc = Path("/proc")
    return [int(entry.name) for entry in proc.glob("[0-9]*")] if proc.is_dir() else []


def _has_open(pid: int, path: Path) -> bool:
    with suppress(OSError):
        return any(link.samefile(path) for link in Path(f"/proc/{pid}/fd").iterdir())
    return False


def _is_supervisor(pid: int) -> bool:
    with suppress(OSError):
        return b"deploy.local" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False
