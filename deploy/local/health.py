"""What /readyz says, asked again and again while the supervisor does other things."""

import json
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from threading import Event, Thread
from typing import Any

STALE_SECONDS = 60.0
_START_INTERVAL_SECONDS = 0.2
_INTERVAL_SECONDS = 10.0
_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Health:
    """One answer. A queue is stale if its worker has shown no heartbeat for STALE_SECONDS."""

    is_ready: bool = False
    stale_queues: frozenset[str] = frozenset()


class HealthWatch:
    """The latest answer, renewed in a thread of its own: often until ready, then now and then."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="health", daemon=True)
        self.latest = Health()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        interval = _START_INTERVAL_SECONDS
        while not self._stopped.wait(interval):
            self.latest = ask(self._port)
            if self.latest.is_ready:
                interval = _INTERVAL_SECONDS


def ask(port: int) -> Health:
    """Ask once; no answer is an answer too."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = json.load(response)
    except (OSError, HTTPException, ValueError):
        return Health()
    finally:
        connection.close()
    return Health(response.status == 200, stale_queues(body.get("checks", {})))


def stale_queues(checks: dict[str, Any]) -> frozenset[str]:
    """Queues whose worker hangs; none while database or broker are the ones that do."""
    if not all(checks.get(name, {}).get("ok") for name in ("database", "broker")):
        return frozenset()
    return frozenset(
        queue
        for queue, seen in checks.get("workers", {}).get("queues", {}).items()
        if seen["seen_seconds_ago"] is None or seen["seen_seconds_ago"] > STALE_SECONDS
    )
