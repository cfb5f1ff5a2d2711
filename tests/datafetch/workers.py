"""Workers that read streams in processes of their own, made to be killed."""

import os
import signal
import subprocess
import sys

from django.db import connection

from tests.support import wait_until
from tests.support.process import ROOT, database_url

_NAME = "made-to-be-killed"

# Each line makes a worker, whose process id is answered.
_PROGRAM = """
import os, sys, time
import django
django.setup()
from apps.datafetch.services import due
print("ready", flush=True)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        while True:
            if not due.read_some():
                time.sleep(0.002)
    print(pid, flush=True)
    os.waitpid(pid, 0)
"""


class Workers:
    """One at a time. As a context manager it leaves none behind, who would read what the next test makes."""

    def __init__(self) -> None:
        self._pid: int | None = None

    def __enter__(self) -> "Workers":
        url = {"DATABASE_URL": database_url(), "DATABASE_POOL_SIZE": "2", "PGAPPNAME": _NAME}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **url},
            cwd=ROOT,
        )
        assert self._read() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        if self._pid is not None:
            self.kill()
        self._process.kill()
        self._process.communicate()
        self.wait_until_gone()

    def start(self) -> None:
        """Start the next one; the one before it has been killed."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._pid = int(self._read())

    def kill(self) -> None:
        """kill -9; in any thread, even before `start` has heard whom it has started."""
        wait_until(lambda: self._pid is not None)
        assert self._pid is not None
        os.kill(self._pid, signal.SIGKILL)
        self._pid = None

    def wait_until_gone(self) -> None:
        """Until nothing of it is left: what PostgreSQL was sent last, a page with a longer lease, it stores for the
        dead too."""
        wait_until(lambda: not self._has_sessions())

    def _has_sessions(self) -> bool:
        mine = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
        with connection.cursor() as cursor:
            cursor.execute(mine, [_NAME])
            return bool(cursor.rowcount)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()
