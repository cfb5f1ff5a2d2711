"""What processes count, in files that they share where PROMETHEUS_MULTIPROC_DIR says so.

Called before anything counts. Containers share the directory too, and in each of them the first
process is number 1: so a process is known by its host and its number.
"""

import os
from pathlib import Path
from socket import gethostname

from prometheus_client import values


def share_metrics() -> None:
    """Count in a file of this process's own, and forget the gauges of those that died."""
    if directory := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        _forget_the_dead(Path(directory))
        values.ValueClass = values.MultiProcessValue(_identity)  # type: ignore[no-untyped-call]  # has no types


def _identity() -> str:
    return f"{gethostname()}-{os.getpid()}"


def _forget_the_dead(directory: Path) -> None:
    """Remove gauges of what lives in processes of this host that do not: else they count for ever."""
    for path in directory.glob(f"gauge_live*_{gethostname()}-*.db"):
        pid = int(path.stem.rpartition("-")[2])
        if pid == os.getpid() or not _is_alive(pid):
            path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
