"""The guarded client, on real sockets."""

import asyncio
import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any

import aiohttp
import pytest
from aiohttp.http import HttpProcessingError

from apps.common.outgoing import aio
from apps.common.outgoing.guard import AddressRefused
from tests.support import Answer, Receiver
from tests.support.flood import flood

LARGE = bytes(20_000_000)  # more than the buffers of two sockets take
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def post(url: str) -> tuple[int, bytes]:
    """The status and capped body of one request of the guarded client."""

    async def ask() -> tuple[int, bytes]:
        async with aio.Client({"user-agent": "test"}) as client:
            answer = await client.post(url, {}, b"body")
            return answer.status, answer.body

    return asyncio.run(ask())


def assert_refused(url: str) -> None:
    with pytest.raises(aiohttp.ClientConnectorError) as raised:
        post(url)
    assert isinstance(raised.value.__cause__, AddressRefused)


def test_an_allowed_address_is_reached(receiver: Receiver) -> None:
    receiver.answer("/", Answer(200, b"hello"))

    assert post(receiver.url("/")) == (200, b"hello")


def test_an_address_is_refused_at_connect_even_without_a_resolver(
    receiver: Receiver, settings: Any
) -> None:
    settings.OUTGOING_ALLOWED_NETWORKS = []

    assert_refused(receiver.url("/"))
    assert_refused(f"http://[::1]:{receiver.port}/")
    assert_refused(f"http://[::ffff:127.0.0.1]:{receiver.port}/")
    assert receiver.requests == []


def test_a_name_that_turned_to_a_private_address_is_refused(
    receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTGOING_ALLOWED_NETWORKS = []
    resolve_to(monkeypatch, "127.0.0.1")

    assert_refused(f"http://rebound.example:{receiver.port}/")
    assert receiver.requests == []


@pytest.mark.parametrize("host", ["localhost", "localhost.", "a.localhost"])
def test_localhost_is_refused_at_connect_whatever_it_resolves_to(
    settings: Any, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    settings.OUTGOING_ALLOWED_NETWORKS = []
    resolve_to(monkeypatch, "93.184.215.14")

    assert_refused(f"http://{host}:8000/")


def test_one_private_address_among_public_ones_spoils_the_name(
    receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTGOING_ALLOWED_NETWORKS = []
    resolve_to(monkeypatch, "93.184.215.14", "127.0.0.1")

    assert_refused(f"http://mixed.example:{receiver.port}/")
    assert receiver.requests == []


def test_a_name_is_resolved_once_and_what_was_vetted_is_connected_to(
    receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that says something else every time gains nothing by it."""
    settings.OUTGOING_ALLOWED_NETWORKS = [ip_network("127.0.0.1/32")]
    answers = iter(["127.0.0.1", "127.0.0.2", "10.0.0.1"])
    asked: list[str] = []

    def answer(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)

    assert post(f"http://flickering.example:{receiver.port}/")[0] == 204
    assert asked == ["flickering.example"]
    assert_refused(f"http://flickering.example:{receiver.port}/")
    assert len(receiver.requests) == 1


def test_a_request_has_its_headers_and_its_body(receiver: Receiver) -> None:
    async def ask() -> None:
        async with aio.Client({"user-agent": "test"}) as client:
            await client.post(receiver.url("/a%20b/é?c=%20é#e"), {"webhook-id": "x"}, b"{}")

    asyncio.run(ask())

    (request,) = receiver.requests
    assert (request.path, request.query, request.body) == ("/a%20b/%C3%A9", "c=%20%C3%A9", b"{}")
    assert {name.lower(): value for name, value in request.headers.items()} == {
        "host": f"127.0.0.1:{receiver.port}",
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": "test",
        "content-length": "2",
        "webhook-id": "x",
    }


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxyz",
        b"HTTP/1.0 200 OK\r\n\r\nuntil it hangs up",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: \xff\xe9\r\nX: 2\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_answers_are_taken_as_by_a_session_of_aiohttp(answer: bytes) -> None:
    """The client does by itself what a session does around a connection: not otherwise."""

    async def by_session(url: str) -> tuple[int, list[tuple[str, str]], bytes]:
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=b"body", allow_redirects=False) as response,
        ):
            return response.status, list(response.headers.items()), await response.read()

    async def by_client(url: str) -> tuple[int, list[tuple[str, str]], bytes]:
        async with aio.Client({}) as client:
            answer = await client.post(url, {}, b"body")
            return answer.status, list(answer.headers.items()), answer.body

    with raw_server(answer) as url:
        expected = asyncio.run(by_session(url))
    with raw_server(answer) as url:
        assert asyncio.run(by_client(url)) == expected


def test_a_body_larger_than_a_sockets_buffer_arrives_whole(receiver: Receiver) -> None:
    body = bytes(range(256)) * 40_000

    async def ask() -> int:
        async with aio.Client({}) as client:
            return (await client.post(receiver.url(), {}, body)).status

    assert asyncio.run(ask()) == 204
    assert receiver.requests[0].body == body


@pytest.mark.parametrize("url", ["nonsense", "http://", "http://a:b/"])
def test_what_is_no_url_is_told_apart(url: str) -> None:
    with pytest.raises(aiohttp.InvalidURL):
        post(url)


def test_a_connection_whose_answer_is_late_is_not_used_again(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer would be taken for the next one's."""
    receiver.answer("/late", Answer(200, b"late", delay=1.0))
    receiver.answer("/next", Answer(201, b"next"))
    monkeypatch.setattr(aio, "TOTAL_SECONDS", 0.3)

    async def ask() -> aio.Answer:
        async with aio.Client({}) as client:
            with pytest.raises(TimeoutError):
                await client.post(receiver.url("/late"), {}, b"body")
            monkeypatch.setattr(aio, "TOTAL_SECONDS", 30.0)
            return await client.post(receiver.url("/next"), {}, b"body")

    answer = asyncio.run(ask())

    assert (answer.status, answer.body) == (201, b"next")
    assert receiver.connections == 2


def test_an_answer_that_nobody_asked_for_is_nobodys() -> None:
    """As a server's `408` to a connection that was idle, or a second answer to one request."""
    answered, sent = threading.Semaphore(0), threading.Semaphore(0)

    def serve(connection: socket.socket) -> None:
        while request := connection.recv(65536):
            connection.sendall(OK + request[-1:])
            answered.acquire(timeout=30)
            connection.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
            sent.release()

    async def ask(url: str) -> list[tuple[int, bytes]]:
        answers = []
        async with aio.Client({}) as client:
            for body in (b"1", b"2", b"3"):
                answer = await client.post(url, {}, body)
                answers.append((answer.status, answer.body))
                answered.release()
                await asyncio.to_thread(sent.acquire)
                for _ in range(3):  # rounds of the loop, in which it reads what is there by now
                    await asyncio.sleep(0)
        return answers

    with connections_to(serve) as url:
        assert asyncio.run(ask(url)) == [(200, b"1"), (200, b"2"), (200, b"3")]


def test_a_connection_is_not_used_again_when_its_answer_came_before_all_was_sent() -> None:
    """A server that did not want to read all of it may not read the next request either."""

    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(OK + b"1")
        while connection.recv(1000, socket.MSG_PEEK) and not is_over.wait(0.01):
            pass

    async def ask(url: str) -> list[bytes]:
        async with aio.Client({}) as client:
            return [(await client.post(url, {}, LARGE)).body for _ in range(2)]

    is_over = threading.Event()
    with connections_to(serve) as url:
        try:
            assert asyncio.run(ask(url)) == [b"1", b"1"]
        finally:
            is_over.set()


def test_what_a_server_does_not_read_is_not_kept_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor its connection: an endpoint could gather them, one with each attempt."""
    made: list[socket.socket] = []

    def make(info: aiohttp.AddrInfoType) -> socket.socket:
        made.append(guarded_socket(info))
        return made[-1]

    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        is_over.wait(30)

    async def ask(url: str) -> list[int]:
        async with aio.Client({}) as client:
            with pytest.raises(TimeoutError):
                await client.post(url, {}, LARGE)
            for _ in range(3):  # rounds of the loop, in which it is closed
                await asyncio.sleep(0)
            return [one.fileno() for one in made]

    guarded_socket, is_over = aio._guarded_socket, threading.Event()
    monkeypatch.setattr(aio, "_guarded_socket", make)
    monkeypatch.setattr(aio, "TOTAL_SECONDS", 0.3)
    with connections_to(serve) as url:
        try:
            assert asyncio.run(ask(url)) == [-1]
        finally:
            is_over.set()


def test_an_interim_answer_is_passed_over() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    with raw_server(interim + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as url:
        assert post(url) == (200, b"ok")


def test_a_connection_is_not_used_again_once_its_address_is_refused(
    receiver: Receiver, settings: Any
) -> None:
    async def ask_twice() -> None:
        async with aio.Client({}) as client:
            for _ in range(2):
                await client.post(receiver.url(), {}, b"body")
            assert receiver.connections == 1, "it is kept open"
            settings.OUTGOING_ALLOWED_NETWORKS = []
            with pytest.raises(aiohttp.ClientConnectorError):
                await client.post(receiver.url(), {}, b"body")

    asyncio.run(ask_twice())
    assert len(receiver.requests) == 2


def test_the_last_look_is_at_the_address_that_is_connected_to(
    receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if what the resolver vetted and what is connected to were two things."""
    settings.OUTGOING_ALLOWED_NETWORKS = []

    async def unguarded(*_: Any, **__: Any) -> list[Any]:
        return [
            {
                "hostname": "x.example",
                "host": "127.0.0.1",
                "port": receiver.port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": 0,
            }
        ]

    monkeypatch.setattr(aio._GuardedResolver, "resolve", unguarded)

    assert_refused(f"http://x.example:{receiver.port}/")
    assert receiver.requests == []


def test_a_redirect_is_an_answer_and_is_not_followed(receiver: Receiver) -> None:
    receiver.answer("/", Answer(302, headers={"Location": receiver.url("/inside")}))

    assert post(receiver.url("/"))[0] == 302
    assert receiver.at("/inside") == []


def test_a_proxy_of_the_environment_is_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert post(receiver.url("/"))[0] == 204


def test_a_body_is_read_up_to_the_cap(receiver: Receiver) -> None:
    receiver.answer("/", Answer(200, b"x" * 5_000_000))

    assert post(receiver.url("/")) == (200, b"x" * aio.MAX_RESPONSE_BYTES)


def test_a_packed_body_is_not_unpacked(receiver: Receiver) -> None:
    receiver.answer("/", Answer(200, b"not gzip at all", {"Content-Encoding": "gzip"}))

    assert post(receiver.url("/")) == (200, b"not gzip at all")
    assert receiver.requests[0].headers["Accept-Encoding"] == "identity"


def test_a_body_that_breaks_off_is_kept_as_far_as_it_came() -> None:
    with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this") as url:
        assert post(url) == (200, b"only this")


@pytest.mark.parametrize(
    ("beginning", "endlessly"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 1000 + b"\r\n"),
    ],
)
def test_an_answer_that_never_begins_is_given_up(beginning: bytes, endlessly: bytes) -> None:
    with flood(beginning, endlessly) as url, pytest.raises(aio.ResponseTooLarge):
        post(url)


def test_a_server_that_pauses_just_below_the_cap_gains_nothing() -> None:
    interim = b"HTTP/1.1 100 Continue\r\nX: 32\r\n\r\n"
    assert aio.MAX_RECEIVED_BYTES % len(interim) == 0
    beginning = interim * (aio.MAX_RECEIVED_BYTES // len(interim))

    with (
        flood(beginning, interim, pause=0.2) as url,
        in_half_the_time(),
        pytest.raises(aio.ResponseTooLarge),
    ):
        post(url)


def test_a_body_of_chunk_extensions_alone_is_given_up() -> None:
    """Its status is an answer all the same."""
    with flood(CHUNKED, b"1;" + b"x" * 1000 + b"\r\na\r\n") as url, in_half_the_time():
        status, body = post(url)

    assert status == 200
    assert len(body) < 1000


def test_trailers_without_end_are_given_up() -> None:
    """aiohttp counts them; whether the status has been seen by then depends on how they arrive."""
    with (
        flood(CHUNKED + b"0\r\n", b"X: y\r\n") as url,
        in_half_the_time(),
        contextlib.suppress(HttpProcessingError),
    ):
        assert post(url) == (200, b"")


def test_an_endless_body_is_read_up_to_the_cap() -> None:
    with flood(b"HTTP/1.1 200 OK\r\n\r\n", b"x") as url:
        assert post(url) == (200, b"x" * aio.MAX_RESPONSE_BYTES)


def test_what_comes_is_counted_for_each_request_anew(receiver: Receiver) -> None:
    receiver.answer("/", Answer(200, b"x" * 19_000))
    n = aio.MAX_RECEIVED_BYTES // 19_000 + 2

    async def ask() -> list[int]:
        async with aio.Client({}) as client:
            return [len((await client.post(receiver.url(), {}, b"body")).body) for _ in range(n)]

    assert asyncio.run(ask()) == [19_000] * n


@contextmanager
def in_half_the_time() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < aio.TOTAL_SECONDS / 2


@contextmanager
def raw_server(answer: bytes) -> Iterator[str]:
    """Answers one connection with these bytes and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        thread.join(5)
        listener.close()


@contextmanager
def connections_to(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Each connection is served in a thread of its own, and closed when that has ended."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            serve(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def answer(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
