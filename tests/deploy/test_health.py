"""What the supervisor makes of /readyz."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.local import health
from deploy.local.health import Health, HealthWatch, parse_answer
from deploy.local.relay import Relay
from deploy.local.services import free_port
from tests.support import Answer, Receiver, wait_until

FINE = {"ok": True}
Watching = Callable[[], Health]


def _answer(status: int, checks: dict[str, Any]) -> bytes:
    everything = {"database": FINE, "broker": FINE, "migrations": FINE, **checks}
    body = json.dumps({"status": "ok" if status == 200 else "unavailable", "checks": everything})
    return f"HTTP/1.1 {status} Whatever\r\ncontent-type: x\r\n\r\n{body}".encode()


def _workers(**seen_seconds_ago: float | None) -> dict[str, Any]:
    queues = {name: {"seen_seconds_ago": age} for name, age in seen_seconds_ago.items()}
    return {"ok": False, "queues": queues}


def test_ready_is_200() -> None:
    assert parse_answer(_answer(200, {"workers": _workers(fast=1.0)})) == Health(is_ready=True)


def test_a_worker_without_heartbeat_is_stale() -> None:
    answer = _answer(503, {"workers": _workers(fast=61.0, slow=3.0, other=None)})

    assert parse_answer(answer) == Health(stale_queues=frozenset({"fast", "other"}))


@pytest.mark.parametrize("name", ["database", "broker"])
def test_no_worker_is_to_blame_while_what_it_needs_is_away(name: str) -> None:
    checks = {"workers": _workers(fast=61.0), name: {"ok": False, "error": "OperationalError"}}

    assert parse_answer(_answer(503, checks)) == Health()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\n\r\nfine",
        b"HTTP/1.1 200 OK\r\n\r\n[]",
        b'HTTP/1.1 200 OK\r\n\r\n{"checks": {}}',
        _answer(200, {}),
    ],
)
def test_an_answer_that_cannot_be_understood_is_not_ready(answer: bytes) -> None:
    assert parse_answer(answer) == Health()


@pytest.fixture
def watch(receiver: Receiver) -> Iterator[Watching]:
    relay = Relay()
    watch = HealthWatch(receiver.port, relay)

    def look() -> Health:
        relay.run(0.01)
        watch.look()
        return watch.latest

    yield look
    watch.close()


def test_it_asks_until_ready(receiver: Receiver, watch: Watching) -> None:
    ready = json.dumps({"checks": {"database": FINE, "broker": FINE, "workers": _workers()}})
    receiver.answer("/readyz", Answer(503), Answer(200, ready.encode()))

    wait_until(lambda: watch().is_ready)

    assert len(receiver.at("/readyz")) == 2


def test_a_server_that_was_not_there_yet_is_found_soon() -> None:
    port, relay = free_port(), Relay()
    watch = HealthWatch(port, relay)
    watch.look()
    assert watch.latest == Health()

    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(1.0)
        relay.run(0.2)
        watch.look()
        server.accept()[0].close()
    watch.close()


def test_a_server_that_hangs_is_asked_again(
    receiver: Receiver, watch: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_ANSWER_SECONDS", 0.1)
    receiver.answer("/readyz", Answer(200, delay=60.0))

    wait_until(lambda: watch() and len(receiver.at("/readyz")) > 1)
