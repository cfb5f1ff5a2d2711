"""What is told of where a request's time went."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from apps.common.outgoing import aio
from apps.common.outgoing.timing import Phases, Timing
from tests.support import Answer, Receiver
from tests.support.certificates import certificate_for


def phases_of(*urls: str) -> list[Phases]:
    """Of requests of one client, one after the other."""

    async def ask() -> list[Phases]:
        found = []
        async with aio.Client({}) as client:
            for url in urls:
                timing = Timing.begin()
                with suppress(aiohttp.ClientError):
                    await client.post(url, {}, b"body")
                found.append(timing.phases())
        return found

    return asyncio.run(ask())


def test_a_new_connection_has_all_phases_but_tls(receiver: Receiver) -> None:
    receiver.answer("/", Answer(200, b"late", delay=0.2))

    (phases,) = phases_of(receiver.url())

    assert phases.dns_us is not None
    assert phases.connect_us is not None
    assert phases.tls_us is None
    assert phases.first_byte_us is not None
    assert phases.first_byte_us >= 200_000


def test_a_connection_that_is_used_again_was_not_made(receiver: Receiver) -> None:
    _, again = phases_of(receiver.url(), receiver.url())

    assert again[:3] == (None, None, None)
    assert again.first_byte_us is not None


def test_dns_is_told_from_the_rest(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(host: str, port: int, **_: Any) -> list[Any]:
        threading.Event().wait(0.2)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", slowly)

    (phases,) = phases_of(f"http://slow.example:{receiver.port}/")

    assert phases.dns_us is not None
    assert phases.dns_us >= 200_000


def test_what_did_not_end_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        (refused,) = phases_of(f"http://127.0.0.1:{bound.getsockname()[1]}/")

    assert refused.dns_us is not None
    assert refused[1:] == (None, None, None)


def test_tls_is_told_from_tcp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tls_server(tmp_path, "127.0.0.1", delay=0.2) as url:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        (phases,) = phases_of(url)

    assert phases.tls_us is not None
    assert phases.connect_us is not None
    assert phases.first_byte_us is not None
    assert phases.tls_us >= 200_000


def test_a_handshake_that_fails_has_no_time(tmp_path: Path) -> None:
    with tls_server(tmp_path, "another.example") as url:
        (phases,) = phases_of(url)

    assert phases.connect_us is not None
    assert phases[2:] == (None, None)


@contextmanager
def tls_server(folder: Path, name: str, delay: float = 0.0) -> Iterator[str]:
    """Answers one connection, `delay` seconds after it was made, as a server of that name."""
    certificate, key = certificate_for(folder, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def serve() -> None:
        connection, _ = listener.accept()
        threading.Event().wait(delay)
        try:
            with context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(65536)
                secured.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        except OSError:
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            thread.join(10)
