"""Receivers that misbehave, on real sockets: each costs its own delivery an attempt and nobody else."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from apps.common.outgoing import aio
from apps.webhooks.models import Attempt, Delivery, Endpoint
from tests.conftest import MakeAccount, MakeClient
from tests.support import Answer, Receiver
from tests.support.certificates import certificate_for
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.situations import make_due, only_delivery

pytestmark = pytest.mark.django_db(transaction=True)

Send = Callable[[], None]


def test_a_huge_answer_is_kept_up_to_the_cap(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    api: MakeClient,
) -> None:  # fmt: skip
    receiver.answer("/", Answer(200, b"\xff" * 3_000_000))
    endpoint = make_endpoint(receiver.url())
    publish_event(endpoint.account)

    send()

    delivery = only_delivery()
    assert delivery.status == "delivered"
    assert bytes(Attempt.objects.get().response_body) == b"\xff" * 20_000
    seen = api(account=endpoint.account).get(f"/api/v1/deliveries/{delivery.id}").json()
    assert seen["attempts"][0]["response_body_is_base64"] is True


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (b"", "disconnected"),
        (b"garbage\r\n\r\n", "invalid_response"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "invalid_response"),
    ],
)
def test_a_receiver_that_misbehaves_is_tried_again(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, send: Send, answer: bytes, word: str
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):  # aiohttp asks once more when a connection was closed unused
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    publish_event(make_endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}/").account)

    send()

    listener.close()
    assert only_delivery().status == "pending"
    attempt = Attempt.objects.get()
    assert (attempt.status_code, attempt.error) == (None, word)


def test_a_closed_port_and_a_refused_address_say_no_more_than_a_word(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    make_account: MakeAccount, settings: Any,
) -> None:  # fmt: skip
    account = make_account()
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    make_endpoint(f"http://127.0.0.1:{port}/", account=account)
    publish_event(account)
    send()
    assert [one.error for one in Attempt.objects.all()] == ["connect_failed"]

    settings.OUTGOING_ALLOWED_NETWORKS = []
    Endpoint.objects.update(url=receiver.url("/secret"))
    make_due()
    send()

    newest = Attempt.objects.order_by("-number")[0]
    assert newest.error == "address_not_allowed"
    assert (newest.status_code, bytes(newest.response_body)) == (None, b"")
    assert receiver.requests == []


def test_a_name_that_turned_private_after_creation_is_refused_at_connect(
    api: MakeClient, publish_event: PublishEvent, receiver: Receiver, send: Send,
    settings: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    settings.OUTGOING_ALLOWED_NETWORKS = []
    usual = socket.getaddrinfo
    address = "93.184.215.14"

    def answer(host: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
        if host != "rebound.example":
            return list(usual(host, port, *args, **options))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    client = api()
    made = client.post(
        "/api/v1/webhook-endpoints",
        {"url": f"http://rebound.example:{receiver.port}/", "event_types": ["*"]},
    )
    assert made.status_code == 201

    address = "127.0.0.1"
    publish_event(client.account)
    send()

    assert Attempt.objects.get().error == "address_not_allowed"
    assert receiver.requests == []


@contextmanager
def answering(
    behave: Callable[[socket.socket], None], context: ssl.SSLContext | None = None
) -> Iterator[str]:
    """A server that lets `behave` have each connection, once a request has come; gives its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), connection:
                talking = (
                    context.wrap_socket(connection, server_side=True) if context else connection
                )
                with talking:
                    talking.recv(65536)
                    behave(talking)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    scheme = "https" if context else "http"
    try:
        yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(20)


def drip(connection: socket.socket) -> None:
    """A byte of the head now and then, for ever."""
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10_000:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def say_nothing(connection: socket.socket) -> None:
    connection.recv(65536)  # until the client gives up


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    ("behave", "word"), [(drip, "timeout"), (say_nothing, "timeout"), (reset, "disconnected")]
)
def test_one_that_never_comes_to_an_answer_costs_its_own_delivery_an_attempt(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch, behave: Callable[[socket.socket], None], word: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(aio, "TOTAL_SECONDS", 1.0)
    good = make_endpoint(receiver.url())
    with answering(behave) as url:
        bad = make_endpoint(url, account=good.account)
        publish_event(good.account)

        send()

    assert Delivery.objects.get(endpoint=good).status == "delivered"
    assert Delivery.objects.get(endpoint=bad).status == "pending"
    attempt = Attempt.objects.get(delivery__endpoint=bad)
    assert (attempt.status_code, attempt.error) == (None, word)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"Content-Length: 100000\r\n\r\nno more than this", "delivered"),
        (b"Transfer-Encoding: chunked\r\n\r\nFFFF\r\nno chunk", "delivered"),
        (
            b"Content-Length: 2\r\n\r\nmore than this",
            "pending",
        ),  # it is no answer to what was asked
    ],
)
def test_one_that_lies_about_its_length_ends_all_the_same(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, send: Send, answer: bytes,
    status: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(aio, "TOTAL_SECONDS", 2.0)
    head = b"HTTP/1.1 200 OK\r\n"
    with answering(lambda connection: connection.sendall(head + answer)) as url:
        publish_event(make_endpoint(url).account)

        send()

    assert only_delivery().status == status
    assert Attempt.objects.get().status_code == (200 if status == "delivered" else None)


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [("127.0.0.1", 204, ""), ("another.example", None, "tls_failed")],
)
def test_tls_is_for_the_name_that_is_called(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, send: Send, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, name: str, status: int | None, error: str,
) -> None:  # fmt: skip
    certificate, key = certificate_for(tmp_path, name)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)

    def agree(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with answering(agree, serving) as url:
        publish_event(make_endpoint(url).account)

        send()

    attempt = Attempt.objects.get()
    assert (attempt.status_code, attempt.error) == (status, error)
