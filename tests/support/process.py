"""Another process of ours, as a second web process is one: it answers what it is asked over a pipe."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
from django.db import connection

ROOT = Path(__file__).resolve().parents[2]

_PROGRAM = """
import sys
import django
django.setup()
import orjson
from django.conf import settings
from django.test import Client
settings.ALLOWED_HOSTS = ["testserver"]
for line in sys.stdin:
    asked = orjson.loads(line)
    answer = Client().generic(asked["method"], asked["path"], headers=asked["headers"])
    print(orjson.dumps({"status": answer.status_code}).decode(), flush=True)
"""


class OtherProcess:
    """Use it as a context manager, in a test with `transaction=True`."""

    def __enter__(self) -> "OtherProcess":
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "DATABASE_URL": database_url(), "DATABASE_POOL_SIZE": "2"},
            cwd=ROOT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def status_of(self, method: str, path: str, **headers: str) -> int:
        """The status with which it answers a request."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked: dict[str, Any] = {"method": method, "path": path, "headers": headers}
        self._process.stdin.write(orjson.dumps(asked) + b"\n")
        self._process.stdin.flush()
        return int(orjson.loads(self._process.stdout.readline())["status"])


def database_url() -> str:
    """DATABASE_URL of this worker's test database."""
    url, _, _ = os.environ["DATABASE_URL"].rpartition("/")
    return f"{url}/{connection.settings_dict['NAME']}"
