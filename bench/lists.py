"""What a page of a list costs in a large table, beside the same page in one of 50,000 rows.

`python -m bench.lists [ROWS] [READS]` fills two throw-away databases (bench.filling) and reads each page READS times
(1,000) in both (bench.reading), a few in the one and a few in the other by turns: so what else the machine does falls
on both alike. 5,000,000 orders, as many deals and as many events take some ten minutes.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.figures import tell_latencies
from bench.installation import ROOT

SMALL = 50_000
BLOCK = 20


class Reader:
    """A process with a database of so many rows."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def answer(self) -> list[str]:
        assert self._process.stdout is not None
        answer: list[str] = json.loads(self._process.stdout.readline() or "null")
        if answer is None:
            sys.exit("A database could not be filled and read.")
        return answer

    def read(self, page: str, times: int) -> list[float]:
        """Seconds of each reading of a page."""
        assert self._process.stdin is not None
        print(page, times, sep="\t", file=self._process.stdin, flush=True)
        return list(map(float, self.answer()))


def main(rows: int = 5_000_000, reads: int = 1000) -> None:
    with ExitStack() as stack:
        small, large = (stack.enter_context(reader(count)) for count in (SMALL, rows))
        small.answer()
        for page in large.answer():
            took: tuple[list[float], list[float]] = ([], [])
            for _ in range(reads // BLOCK):
                for seconds, one in zip(took, (small, large), strict=True):
                    seconds += one.read(page, BLOCK)
            tell_latencies(f"{page}, {rows:,} rows", took[1], took[0], percents=(50, 99))


@contextmanager
def reader(rows: int) -> Iterator[Reader]:
    throwaway = [sys.executable, "-m", "deploy.local", "exec", "--throwaway", "--"]
    command = [*throwaway, sys.executable, "-m", "bench.reading", str(rows)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        yield Reader(process)  # leaving closes its input, at which it ends


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
