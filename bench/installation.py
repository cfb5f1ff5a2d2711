"""All of Tradepost, started as `make run` does."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STOP_SECONDS = 60.0


@contextmanager
def started(environment: Mapping[str, str]) -> Iterator[int]:
    """Start it, wait until it is ready, stop it at the end; the pid of its first process.

    The environment names its DATA_DIR and PORT. SystemExit when it does not become ready.
    """
    command = [sys.executable, "-m", "deploy.local", "run"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        if not any("Tradepost is ready" in line for line in supervisor.stdout):
            sys.exit("Tradepost did not start; `make run` shows why.")
        # Somebody has to read what it goes on to say, or it would wait for that.
        with subprocess.Popen(
            ["cat"], stdin=supervisor.stdout, stdout=subprocess.DEVNULL
        ) as _reader:
            try:
                yield supervisor.pid
            finally:
                supervisor.terminate()
                supervisor.wait(STOP_SECONDS)
