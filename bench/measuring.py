"""What a piece of work costs: seconds of the clock and of the processor, memory. Of the standard library alone,
so that peers can be measured in environments of their own."""

import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """`wall` and `cpu` in seconds, of this process and its children; `peak` is its memory in MB."""

    wall: float
    cpu: float
    peak: float


def cost_of(work: Callable[[], object]) -> Cost:
    """Do it, once."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    work()
    return Cost(time.perf_counter() - wall, cpu_seconds() - cpu, peak_memory(os.getpid()))


def tell(cost: Cost) -> None:
    """For the process that has started this one: its last line."""
    print(json.dumps(cost), flush=True)


def told(output: str) -> Cost:
    """What a process has told."""
    return Cost(*json.loads(output.strip().splitlines()[-1]))


def cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def peak_memory(process: int) -> float:
    """In MB. Not ru_maxrss, which has in it what the process was before it was this program."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def family_seconds(first: int) -> float:
    """Of the processor: of a process, of its children, and of ended ones that it has waited for."""
    ticks = sum(int(field) for field in stat(first)[11:15])
    for process in children(first):
        try:
            fields = stat(process)
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def children(parent: int) -> list[int]:
    """The processes that `parent` has started and that live."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                fields = stat(int(process.name))
            except OSError:
                continue
            if int(fields[1]) == parent:
                found.append(int(process.name))
    return found


def stat(process: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (the state) on."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
