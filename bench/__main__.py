"""`make bench`: every benchmark on services of its own, beside its limit, written into docs/performance.md.

`python -m bench` takes three rounds (one of what takes long) and the median of each figure; `python -m bench short`
takes one small round and names what got slower than in earlier ones (bench.stored). `python -m bench [short] NAME…`
runs these cases alone and writes nothing down.

A case that fails is said to have failed and the others go on; nothing of it is written down, and the exit status is 1.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from bench import report, stored
from bench.figures import LOG, Figure, medians, read
from bench.installation import ROOT, started
from deploy.local.services import free_port

ROUNDS = 3
MOST_SECONDS = 900.0  # that a case may take; one that hangs is ended
END_SECONDS = 60.0


class Needs(Enum):
    """What a case works on."""

    NOTHING = "it starts what it needs"
    DATABASE = "an empty database, in a process of its own"
    TRADEPOST = "all of Tradepost, as `make run` starts it"


class Case(NamedTuple):
    """A module of bench/, with its arguments for a whole round and for a short one, None where it is not in that."""

    name: str
    needs: Needs
    whole: str
    short: str | None
    rounds: int = ROUNDS

    def command(self, *, is_short: bool) -> list[str]:
        arguments = self.short if is_short else self.whole
        module = [sys.executable, "-m", f"bench.{self.name}", *(arguments or "").split()]
        if self.needs is Needs.DATABASE:
            return [sys.executable, "-m", "deploy.local", "exec", "--throwaway", "--", *module]
        return module


CASES = (
    Case("startup", Needs.NOTHING, "10", "4", rounds=1),
    Case("lists", Needs.NOTHING, "300000 300", "100000 40", rounds=1),
    Case("deliveries", Needs.DATABASE, "10000", "2000"),
    Case("dispatching", Needs.DATABASE, "20000", "5000"),
    Case("fairness", Needs.DATABASE, "", None, rounds=1),
    Case("peers", Needs.DATABASE, "2000", None, rounds=1),
    Case("fetch", Needs.DATABASE, "200000 300000 1", "20000 50000 1"),
    Case("latency", Needs.TRADEPOST, "300", "100"),
    Case("deals", Needs.TRADEPOST, "6", "2"),
    Case("orders", Needs.TRADEPOST, "6", "2"),
    Case("customers", Needs.TRADEPOST, "1000", "300", rounds=1),
)


class Session:
    """One run of some cases: what they found, and which of them failed."""

    def __init__(self, *, is_short: bool) -> None:
        self._is_short = is_short
        self._found: dict[str, list[Figure]] = defaultdict(list)
        self.failed: list[str] = []

    def figures(self) -> dict[str, list[Figure]]:
        """Medians, by the name of the case."""
        return {
            name: medians(several)
            for name, several in self._found.items()
            if name not in self.failed
        }

    def one_round(self, cases: Sequence[Case]) -> None:
        cases = [case for case in cases if case.name not in self.failed]
        running = [case for case in cases if case.needs is Needs.TRADEPOST]
        for case in cases:
            if case not in running:
                self._run(case, dict(os.environ))
        if running:
            try:
                with installation() as where:
                    for case in running:
                        self._run(case, where)
            except (SystemExit, subprocess.SubprocessError) as error:  # it did not start, or stop
                print(error, flush=True)
                self.failed += [case.name for case in running if case.name not in self.failed]

    def _run(self, case: Case, environment: dict[str, str]) -> None:
        print(f"\n{case.name}", flush=True)
        start = time.monotonic()
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as log:
            command = case.command(is_short=self._is_short)
            if has_succeeded(command, environment | {LOG: log.name}):
                self._found[case.name] += read(Path(log.name))
            else:
                print(f"{case.name} FAILED", flush=True)
                self.failed.append(case.name)
        print(f"    {case.name} took {time.monotonic() - start:.0f} s", flush=True)


def main(arguments: Sequence[str]) -> None:
    is_short = "short" in arguments
    names = [name for name in arguments if name != "short"]
    if unknown := set(names) - {case.name for case in CASES}:
        sys.exit(f"No such case: {', '.join(sorted(unknown))}.")
    cases = [case for case in CASES if not names or case.name in names]
    if is_short:
        cases = [case for case in cases if case.short is not None]
    session = Session(is_short=is_short)
    for number in range(1 if is_short else ROUNDS):
        print(f"\n--- round {number + 1} ---", flush=True)
        session.one_round([case for case in cases if number < case.rounds])
    figures = session.figures()
    print("\n".join(report.tables(figures)))
    if is_short:
        stored.compare(figures, keep=not names)
    elif not names:
        report.write(figures, session.failed, ROUNDS, [c.name for c in cases if c.rounds == 1])
    if session.failed:
        sys.exit(f"Failed: {', '.join(session.failed)}.")


def has_succeeded(command: Sequence[str], environment: dict[str, str]) -> bool:
    """Run it to its end, or to ours."""
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        try:
            return process.wait(MOST_SECONDS) == 0
        except subprocess.TimeoutExpired:
            print(f"It took more than {MOST_SECONDS:.0f} s.", flush=True)
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            return False


@contextmanager
def installation() -> Iterator[dict[str, str]]:
    """All of Tradepost in a folder and on a port of its own; the environment in which to find it."""
    with tempfile.TemporaryDirectory() as folder:
        where = os.environ | {"DATA_DIR": folder, "PORT": str(free_port())}
        with started(where):
            yield where


if __name__ == "__main__":
    main(sys.argv[1:])
