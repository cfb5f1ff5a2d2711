"""What a page of a list costs in a large table, beside the same page in one of 50,000 rows.

`python -m bench.lists [ROWS]` fills two throw-away databases (bench.filling; half an hour for 5,000,000 orders
and as many events) and reads pages of each (bench.reading).
"""

import json
import subprocess
import sys

from bench.figures import tell
from bench.installation import ROOT

SMALL = 50_000


def main(rows: int = 5_000_000) -> None:
    small, large = filled_and_read(SMALL), filled_and_read(rows)
    for name, seconds in large.items():
        tell(f"{name}, {rows:,} rows, p99", seconds * 1000, "ms", small[name] * 1000)


def filled_and_read(rows: int) -> dict[str, float]:
    """p99 in seconds of each page, by its name."""
    throwaway = [sys.executable, "-m", "deploy.local", "exec", "--throwaway", "--"]
    command = [*throwaway, sys.executable, "-m", "bench.reading", str(rows)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
