"""The guarded blocking client, on real sockets."""

import contextlib
import datetime
import gzip
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apps.common.outgoing import bounds, connections, guard
from apps.common.outgoing.bounds import Limits
from apps.common.outgoing.pooled import Sent, send
from tests.support import Answer, Receiver
from tests.support.flood import flood

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
QUICK = Limits(total_seconds=1.0, connect_seconds=1.0, silence_seconds=0.4, max_bytes=100_000)


def test_an_allowed_address_is_reached(receiver: Receiver) -> None:
    receiver.answer("/", Answer(200, b"hello", {"ETag": '"1"'}))

    answer = send("GET", receiver.url("/?a=1"), headers={"user-agent": "test"})

    assert (answer.status, answer.body, answer.headers["etag"]) == (200, b"hello", '"1"')
    (request,) = receiver.requests
    assert request.query == "a=1"
    assert request.headers["User-Agent"] == "test"
    assert answer.received > len(b"hello")


def test_connections_are_kept() -> None:
    with serving(lambda _: [OK]) as (url, connections):
        for _ in range(5):
            assert send("GET", url).body == b"ok"

    assert connections() == 1


def test_a_kept_connection_that_was_closed_is_made_anew() -> None:
    with serving(lambda number: [OK, None] if number == 0 else [OK]) as (url, connections):
        assert send("GET", url).body == b"ok"
        assert send("GET", url).body == b"ok"

    assert connections() == 2


def test_a_new_connection_that_breaks_is_not_tried_again() -> None:
    with serving(lambda _: [None]) as (url, connections):
        with pytest.raises(bounds.SendFailed):
            send("GET", url)

        assert connections() == 1


def test_a_kept_connection_on_which_something_came_unasked_is_not_used_again() -> None:
    with serving(lambda _: [OK + OK * 2000]) as (url, connections):  # more than is read at once
        for number in (1, 2):
            assert send("GET", url).body == b"ok"
            assert connections() == number


def test_an_answer_can_be_read_later_and_that_time_is_not_the_servers(receiver: Receiver) -> None:
    receiver.answer("/", Answer(200, b"hello"))

    sent = Sent("GET", receiver.url("/"), {}, {}, None, Limits(total_seconds=0.5))
    threading.Event().wait(0.6)

    assert sent.answer().body == b"hello"


def test_an_answer_that_nobody_wants_costs_its_connection() -> None:
    with serving(lambda _: [OK]) as (url, connections):
        Sent("GET", url, {}, {}, None, Limits()).drop()
        assert send("GET", url).body == b"ok"

    assert connections() == 2


def test_what_cannot_stand_in_a_first_line_is_written_by_percent(receiver: Receiver) -> None:
    send("GET", f"{receiver.url('/größe/%20')}?q=a|ü&r=%7C#part")

    (request,) = receiver.requests
    assert (request.path, request.query) == ("/gr%C3%B6%C3%9Fe/%20", "q=a%7C%C3%BC&r=%7C")


def test_an_address_is_refused_at_connect(receiver: Receiver, settings: Any) -> None:
    settings.OUTGOING_ALLOWED_NETWORKS = []

    for url in (receiver.url("/"), f"http://[::1]:{receiver.port}/", "http://localhost:8000/"):
        with pytest.raises(guard.AddressRefused):
            send("GET", url)
    assert receiver.requests == []


def test_a_name_that_turned_to_a_private_address_is_refused(
    receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTGOING_ALLOWED_NETWORKS = []
    resolve_to(monkeypatch, "93.184.215.14", "127.0.0.1")

    with pytest.raises(guard.AddressRefused):
        send("GET", f"http://mixed.example:{receiver.port}/")
    assert receiver.requests == []


def test_the_address_that_was_vetted_is_the_one_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers otherwise the second time is not asked a second time."""
    asked = resolve_to(monkeypatch, "127.0.0.1")

    send("GET", f"http://rebinding.example:{receiver.port}/")

    assert asked.count("rebinding.example") == 1
    assert receiver.requests[0].headers["Host"] == f"rebinding.example:{receiver.port}"


def test_each_new_connection_is_vetted_again(
    receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answer("/", Answer(204, headers={"Connection": "close"}))
    resolve_to(monkeypatch, "127.0.0.1")
    send("GET", f"http://rebound.example:{receiver.port}/")
    settings.OUTGOING_ALLOWED_NETWORKS = []

    with pytest.raises(guard.AddressRefused):
        send("GET", f"http://rebound.example:{receiver.port}/")
    assert len(receiver.requests) == 1


def test_a_redirect_is_followed_and_keeps_private_headers_at_home(receiver: Receiver) -> None:
    receiver.answer("/", Answer(302, headers={"Location": "/there"}))
    receiver.answer("/there", Answer(200, b"arrived"))

    answer = send("GET", receiver.url("/"), private={"authorization": "secret"})

    assert (answer.body, answer.url) == (b"arrived", receiver.url("/there"))
    assert [one.headers["Authorization"] for one in receiver.requests] == ["secret", "secret"]


def test_a_redirect_to_another_origin_gets_no_private_header(receiver: Receiver) -> None:
    """Nor does the first origin when the other sends us back there: it chose the address."""
    with Receiver() as other:
        receiver.answer("/", Answer(302, headers={"Location": other.url("/")}))
        other.answer("/", Answer(307, headers={"Location": receiver.url("/chosen")}))

        send("GET", receiver.url("/"), headers={"accept": "x"}, private={"authorization": "secret"})

        (strange,) = other.requests
    assert strange.headers["Authorization"] is None
    assert strange.headers["Accept"] == "x"
    assert receiver.at("/chosen")[0].headers["Authorization"] is None


def test_a_redirect_to_a_refused_address_is_refused(receiver: Receiver) -> None:
    for location in ("http://10.0.0.1/", "http://169.254.169.254/latest/meta-data"):
        receiver.answer("/", Answer(302, headers={"Location": location}))
        with pytest.raises(guard.AddressRefused):
            send("GET", receiver.url("/"))

    for location in ("ftp://example.com/", "file:///etc/passwd", "http://user:pw@127.0.0.1:8080/"):
        receiver.answer("/", Answer(302, headers={"Location": location}))
        with pytest.raises(guard.UrlInvalid):
            send("GET", receiver.url("/"))


def test_redirects_come_to_an_end(receiver: Receiver) -> None:
    receiver.answer("/", Answer(302, headers={"Location": "/"}))

    with pytest.raises(bounds.TooManyRedirects):
        send("GET", receiver.url("/"))
    assert len(receiver.requests) == Limits().redirects + 1


def test_a_redirect_of_a_post_is_an_answer(receiver: Receiver) -> None:
    receiver.answer("/", Answer(307, headers={"Location": "/elsewhere"}))

    assert send("POST", receiver.url("/"), body=b"secret").status == 307
    assert receiver.at("/elsewhere") == []


def test_a_proxy_of_the_environment_is_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert send("GET", receiver.url("/")).status == 204


def test_a_packed_body_is_unpacked_and_kept_as_it_came(receiver: Receiver) -> None:
    packed = gzip.compress(b"hello ") + gzip.compress(b"world")
    receiver.answer("/", Answer(200, packed, {"Content-Encoding": "gzip"}))

    answer = send("GET", receiver.url("/"))

    assert (answer.body, answer.packed) == (b"hello world", packed)
    assert receiver.requests[0].headers["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize("members", [1, 3])
def test_a_gzip_bomb_is_refused(receiver: Receiver, members: int) -> None:
    bomb = gzip.compress(b"\0" * 60_000_000 if members == 1 else b"\0" * 49_999) * members
    receiver.answer("/", Answer(200, bomb, {"Content-Encoding": "gzip"}))

    with pytest.raises(bounds.TooLarge):
        send("GET", receiver.url("/"), limits=Limits(max_bytes=100_000))


@pytest.mark.parametrize(
    ("encoding", "body", "error"),
    [
        ("br", b"x", bounds.EncodingUnknown),
        ("gzip, gzip", gzip.compress(gzip.compress(b"x")), bounds.EncodingUnknown),
        ("gzip", b"not gzip at all", bounds.EncodingUnknown),
        ("gzip", zlib.compress(b"x"), bounds.EncodingUnknown),
        ("gzip", gzip.compress(b"x" * 1000)[:-4], bounds.SendFailed),
    ],
    ids=["brotli", "twice", "not gzip", "deflate", "cut off"],
)
def test_what_cannot_be_unpacked_is_said(
    receiver: Receiver, encoding: str, body: bytes, error: type[Exception]
) -> None:
    receiver.answer("/", Answer(200, body, {"Content-Encoding": encoding}))

    with pytest.raises(error):
        send("GET", receiver.url("/"))


@pytest.mark.parametrize(
    "beginning",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: ",
        b"",
    ],
    ids=["length", "chunked", "until-closed", "header", "status"],
)
def test_dripping_does_not_stretch_the_time(beginning: bytes) -> None:
    """Each byte comes well before the server would count as silent."""
    with dripping(beginning, b"1") as url, pytest.raises(bounds.TimedOut, match="more than 1 s"):
        send("GET", url, limits=QUICK)


def test_a_silent_server_is_given_up() -> None:
    with (
        dripping(b"HTTP/1.1 200 OK\r\n", b"") as url,
        pytest.raises(bounds.TimedOut, match="silent"),
    ):
        send("GET", url, limits=QUICK)


@pytest.mark.parametrize(
    ("beginning", "endlessly"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1;" + b"x" * 1000 + b"\r\na\r\n",
        ),
    ],
    ids=["interim", "until-closed", "length", "chunk-extensions"],
)
def test_floods_are_cut_off(beginning: bytes, endlessly: bytes) -> None:
    with flood(beginning, endlessly) as url, pytest.raises(bounds.TooLarge):
        send("GET", url, limits=Limits(max_bytes=100_000))


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"not HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConte",
    ],
)
def test_an_answer_that_breaks_off_is_none(sent: bytes) -> None:
    with serving(lambda _: [sent, None]) as (url, _), pytest.raises(bounds.SendFailed):
        send("GET", url)


def test_nobody_listening_is_told_without_details() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(bounds.SendFailed, match=r"^No connection could be made\.$"):
        send("GET", f"http://127.0.0.1:{port}/")


def test_tls_is_verified_for_the_name_although_an_address_is_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path, "good.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    resolve_to(monkeypatch, "127.0.0.1")
    forget_connections()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    named: list[str] = []
    context.sni_callback = lambda _socket, name, _context: named.append(name)

    try:
        with serving(lambda _: [OK], context) as (url, _):
            port = url.rstrip("/").rpartition(":")[2]
            assert send("GET", f"https://good.example:{port}/").body == b"ok"
            with pytest.raises(bounds.SendFailed, match="TLS"):
                send("GET", f"https://bad.example:{port}/")
    finally:
        forget_connections()
    assert named == ["good.example", "bad.example"]


def forget_connections() -> None:
    """The next ones are made by the certificates that are there then."""
    connections.kept.clear()
    connections._tls.cache_clear()


@contextlib.contextmanager
def serving(
    script: Callable[[int], list[bytes | None]], context: ssl.SSLContext | None = None
) -> Iterator[tuple[str, Callable[[], int]]]:
    """A server that gives, on its n-th connection, these bytes for a request each; None hangs up.

    Yields its URL and a function that counts the connections.
    """
    threads: list[threading.Thread] = []
    closing = threading.Event()
    accepted: list[socket.socket] = []

    def talk(connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
                stack.enter_context(connection)
            answers = script(number)
            while connection.recv(65536):
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                if answer is None:
                    return
                connection.sendall(answer)
                if answers[0] is None:
                    return

    def serve() -> None:
        while not closing.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                connection.settimeout(20)
                accepted.append(connection)
                threads.append(threading.Thread(target=talk, args=(connection, len(accepted) - 1)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        server = threading.Thread(target=serve)
        server.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/", lambda: len(accepted)
        finally:
            closing.set()
            server.join()
            connections.kept.clear()  # hangs up, unless an exception still holds a connection
            for connection in accepted:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


@contextlib.contextmanager
def dripping(beginning: bytes, drop: bytes) -> Iterator[str]:
    """A server that sends `beginning` and then `drop` every 20 ms."""
    closing = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(beginning)
            while not closing.wait(0.02):
                connection.sendall(drop)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            closing.set()
            thread.join()


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Have every name resolve to these; returns the list of names asked for."""
    asked: list[str] = []
    plain = socket.getaddrinfo

    def answer(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        if not host.endswith(".example"):
            return list(plain(host, port, *args, **kwargs))
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


def self_signed(folder: Path, name: str) -> Path:
    """A file with a key and a certificate of `name` signed by it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
