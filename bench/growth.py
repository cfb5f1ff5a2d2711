"""How the cost of one order, delivery and record grows with what is stored, and with the processes that share the work.

`python -m bench.growth [ROWS…]`, by hand; 10,000, 100,000 and 1,000,000 rows take some twenty minutes. For each number a
throw-away database is filled with so many orders, events, deliveries and records of a stream. Then, in one process:

- orders of two lines are posted, all that a web process does for them but the server's own part;
- webhooks are dispatched, signed, posted to a receiver and stored;
- a stream reads new records from a server beside it, and 1,000 records at a time are served from its middle.

Told are the processor's seconds of that process and of PostgreSQL, which other work on the machine changes less than the
clock; what one order, one delivery and one record add to the database and to its log; and how large what was filled is.

At the end 1, 2 and 4 web processes answer 16 connections that place orders, and 1, 2 and 4 processes dispatch and
deliver, in a small database: what it costs that they meet.
"""

import subprocess
import sys

from bench.installation import ROOT

SIZES = ("10000", "100000", "1000000")


def main(sizes: list[str]) -> None:
    for rows in sizes or SIZES:
        measure("size", rows)
    measure("processes")


def measure(*arguments: str) -> None:
    command = [sys.executable, "-m", "deploy.local", "exec", "--throwaway", "--"]
    module = [sys.executable, "-m", "bench.growing", *arguments]
    subprocess.run([*command, *module], cwd=ROOT, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
