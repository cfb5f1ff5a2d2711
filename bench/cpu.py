"""What each process of `make run` burns: seconds of CPU from /proc, of a process and all below it.

The tree is found by way of PostgreSQL's backend of a connection of our own, so there is none to see where
PostgreSQL runs on another machine or was not started by `make run`.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg

from bench.figures import tell
from config.settings.env import DATABASE_URL

_TICKS = os.sysconf("SC_CLK_TCK")

# What a process of the supervisor is called, by a word of its command line.
_NAMES = (
    ("bin/postgres", "postgres"),
    ("valkey-server", "valkey"),
    ("config.web", "web"),
    ("fast@", "worker-fast"),
    ("slow@", "worker-slow"),
    ("config.beat", "beat"),
)


class Usage(dict[str, float]):
    """Seconds of CPU by process; the difference of two is what was burnt between them."""

    @classmethod
    def now(cls) -> "Usage":
        """Empty where the processes cannot be seen."""
        usage = cls()
        with psycopg.connect(DATABASE_URL, autocommit=True) as connection:
            backend = connection.info.backend_pid
            with suppress(OSError):
                supervisor = _stat(_stat(backend)[0])[0]
                children = _children()
                for child in children[supervisor]:
                    if name := _name(child):
                        usage[name] = sum(_seconds(pid) for pid in _family(child, children))
        return usage

    def since(self, before: "Usage") -> "Usage":
        return Usage({name: seconds - before[name] for name, seconds in self.items()})

    def tell(self, case: str, count: int) -> None:
        """What each of `count` things took: a figure, and which process took how much of it."""
        if self:
            tell(f"{case}, all processes", sum(self.values()) * 1000 / count, "CPU ms")
        print(f"    {self.per(count)}", flush=True)

    def per(self, count: int) -> str:
        """Milliseconds of CPU for each of `count` things, in all and by process."""
        if not self:
            return "not to be seen from here"
        each = {name: seconds * 1000 / count for name, seconds in self.items()}
        most = sorted(each.items(), key=lambda item: -item[1])
        parts = ", ".join(f"{name} {value:.2f}" for name, value in most)
        return f"{sum(each.values()):.2f} ms ({parts})"


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it has just ended
                children[_stat(int(entry.name))[0]].append(int(entry.name))
    return children


def _family(pid: int, children: dict[int, list[int]]) -> Iterator[int]:
    yield pid
    for child in children[pid]:
        yield from _family(child, children)


def _stat(pid: int) -> tuple[int, float]:
    """The parent of a process, and its seconds of CPU, those of children that ended included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), sum(map(int, fields[11:15])) / _TICKS


def _seconds(pid: int) -> float:
    """0 for one that has just ended: its parent has them now."""
    try:
        return _stat(pid)[1]
    except OSError:
        return 0.0


def _name(pid: int) -> str | None:
    command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return next((name for word, name in _NAMES if word in command), None)
