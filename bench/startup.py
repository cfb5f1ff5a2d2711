"""How soon `make run` is ready, the first time and again, and what it takes when nothing happens.

`python -m bench.startup [SECONDS]` works in a folder of its own, and looks for so long at what is idle. Memory is the
sum over all processes, what they share counted once (PSS); idle CPU is in seconds of one processor per second.
"""

import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from bench.figures import tell
from bench.installation import started
from bench.measuring import children, stat
from deploy.local.services import free_port


def main(idle_seconds: float = 10.0) -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"DATA_DIR": folder, "PORT": str(free_port())}
        for name in ("REDIS_URL", "DATABASE_URL"):
            environment.pop(name, None)
        begun = time.perf_counter()
        with started(environment):
            tell("make run: ready the first time", time.perf_counter() - begun, "s")
        begun = time.perf_counter()
        with started(environment) as pid:
            tell("make run: ready again", time.perf_counter() - begun, "s")
            time.sleep(idle_seconds)  # the last caches fill, the first sweeps have been
            before = cpu(pid)
            time.sleep(idle_seconds)
            tell("idle: all processes", (cpu(pid) - before) / idle_seconds, "CPU s/s")
            tell("idle: all processes, memory", memory(pid), "MB")


def family(first: int) -> list[int]:
    """A process and everything below it."""
    found = [first]
    for process in found:  # grows while it is walked
        found += children(process)
    return found


def memory(first: int) -> float:
    """MB of a family, shared pages divided among those that share them."""
    total = 0
    for process in family(first):
        with suppress(OSError):  # ended meanwhile
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def cpu(first: int) -> float:
    """Seconds that a family has used so far, with what its ended members did."""
    ticks = 0
    for process in family(first):
        with suppress(OSError):
            ticks += sum(int(field) for field in stat(process)[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
