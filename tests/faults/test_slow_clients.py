"""Clients that begin a request and do not go on: the whole of `make run`, for real."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPResponse

import pytest

from deploy.local.processes import WEB_THREADS
from tests.support.installation import Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Wherever they land, a process of web has a thread left; more of them are the proxy's affair.
STALLED = WEB_THREADS - 1
LOGIN = (
    "POST /admin/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: csrftoken=" + "a" * 32 + "\r\n"
    "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nu"
)
REFUSED = (
    "POST /api/v1/orders HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n"
)


@pytest.fixture
def connections() -> Iterator[ExitStack]:
    """Holds sockets open until the end of the test."""
    with ExitStack() as stack:
        yield stack


def test_stalled_bodies_leave_threads_to_others(
    installation: Installation, connections: ExitStack
) -> None:
    for _ in range(STALLED):
        stalled = connections.enter_context(connect(installation))
        stalled.sendall(LOGIN.encode())
    assert STALLED > 8

    for _ in range(20):
        assert status_of("/healthz", installation) == 200
    # Nobody gave the stalled ones up meanwhile: they really are at work.
    stalled.settimeout(0.2)
    with pytest.raises(TimeoutError):
        stalled.recv(1)


def test_a_refused_body_does_not_end_the_connection(installation: Installation) -> None:
    """Head and body are sent one after the other, as most clients do: the refusal would overtake the body."""
    with connect(installation) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(30)
        for _ in range(20):
            connection.sendall(REFUSED.encode())
            assert status_of("/healthz", installation) == 200  # time enough to refuse
            connection.sendall(b"{}")
            assert answer_on(connection) == 401
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert answer_on(connection) == 200


def test_silent_connections_are_ended(installation: Installation) -> None:
    """They count against --backpressure, which nobody would get past any more."""
    with connect(installation) as silent:
        silent.settimeout(60)

        assert silent.recv(1) == b""


def connect(installation: Installation) -> socket.socket:
    return socket.create_connection(("127.0.0.1", installation.port))


def answer_on(connection: socket.socket) -> int:
    """The status of the next answer on a connection that stays open."""
    answer = HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


def status_of(path: str, installation: Installation) -> int:
    with closing(HTTPConnection("127.0.0.1", installation.port, timeout=5)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status
