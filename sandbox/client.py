"""The API as a script sees it: JSON over HTTP with a key, nothing installed."""

import http.client
import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def data_dir() -> Path:
    """Where the Tradepost keeps its data that this process talks to."""
    return Path(os.environ.get("DATA_DIR", "var"))


def read_demo() -> dict[str, Any]:
    """What `make run` wrote down about its demo accounts; SystemExit, saying what to do, without it."""
    path = data_dir() / "demo.json"
    if not path.exists():
        sys.exit(
            f"{path} is not there: start Tradepost first, with `make run` in another terminal."
        )
    found: dict[str, Any] = json.loads(path.read_text())
    return found


class ApiError(Exception):
    """An answer that is not 2xx; `problem` is its problem+json."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}")
        self.status = status
        self.problem = problem


class Client:
    """One account's connection to Tradepost, kept open between calls until `close`."""

    def __init__(self, base_url: str, api_key: str) -> None:
        address = urlsplit(base_url)
        kind = (
            http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = kind(address.netloc, timeout=30)
        self._api_key = api_key

    def close(self) -> None:
        self._connection.close()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The parsed answer, None for an empty one; raises ApiError, and OSError without a server."""
        headers = {"X-API-Key": self._api_key}
        if body is not None:
            headers["Content-Type"] = "application/json"
        self._connection.request(
            method, f"/api/v1{path}", None if body is None else json.dumps(body), headers
        )
        response = self._connection.getresponse()
        raw = response.read()
        answer: Any = json.loads(raw) if raw else None
        if response.status >= 400:
            raise ApiError(response.status, answer)
        return answer
