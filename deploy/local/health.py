"""What /readyz says, asked again and again while the supervisor does other things."""

import json
import socket
import time
from dataclasses import dataclass
from typing import Any

from deploy.local.relay import Relay

STALE_SECONDS = 60.0
_START_INTERVAL_SECONDS = 0.1
_INTERVAL_SECONDS = 10.0
_ANSWER_SECONDS = 2.0
_CONNECT_SECONDS = 0.5
# HTTP 1.0, so that the end of the answer is the end of the connection.
_REQUEST = b"GET /readyz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"


@dataclass(frozen=True)
class Health:
    """One answer. A queue is stale if its worker has shown no heartbeat for STALE_SECONDS."""

    is_ready: bool = False
    stale_queues: frozenset[str] = frozenset()


class HealthWatch:
    """The latest answer, renewed often until it is good, then now and then."""

    def __init__(self, port: int, relay: Relay) -> None:
        self.latest = Health()
        self._port = port
        self._relay = relay
        self._connection: socket.socket | None = None
        self._answer = b""
        self._interval = _START_INTERVAL_SECONDS
        self._next_at = time.monotonic()

    def look(self) -> None:
        """Ask if it is time to; an answer that took too long is none."""
        now = time.monotonic()
        if now < self._next_at:
            return
        if self._connection:
            self._conclude(Health())
        else:
            self._next_at = now + _ANSWER_SECONDS
            self._ask()

    def close(self) -> None:
        """Wait for no answer any more."""
        if self._connection:
            self._relay.remove(self._connection)
            self._connection.close()
            self._connection = None

    def _ask(self) -> None:
        address = ("127.0.0.1", self._port)
        try:
            self._connection = socket.create_connection(address, _CONNECT_SECONDS)
            self._connection.sendall(_REQUEST)
        except OSError:
            self._conclude(Health())
            return
        self._answer = b""
        self._relay.add(self._connection, self._receive)

    def _receive(self, data: bytes) -> None:
        self._answer += data
        if not data:
            self._conclude(parse_answer(self._answer))

    def _conclude(self, health: Health) -> None:
        self.close()
        self.latest = health
        if health.is_ready:
            self._interval = _INTERVAL_SECONDS
        self._next_at = time.monotonic() + self._interval


def parse_answer(answer: bytes) -> Health:
    """What an HTTP answer of /readyz means; one that cannot be read means not ready."""
    head, _, body = answer.partition(b"\r\n\r\n")
    try:
        checks = json.loads(body)["checks"]
        return Health(head.split()[1] == b"200", _stale_queues(checks))
    except (ValueError, LookupError, TypeError):
        return Health()


def _stale_queues(checks: dict[str, Any]) -> frozenset[str]:
    """Queues whose worker hangs; none while database or broker are the ones that do."""
    if not (checks["database"]["ok"] and checks["broker"]["ok"] and "queues" in checks["workers"]):
        return frozenset()
    ages = {name: seen["seen_seconds_ago"] for name, seen in checks["workers"]["queues"].items()}
    return frozenset(name for name, age in ages.items() if age is None or age > STALE_SECONDS)
