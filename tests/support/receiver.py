"""A customer's server: real sockets on 127.0.0.1, remembers what it got, answers as it is told."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.support.waiting import PATIENCE_SECONDS, wait_until


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server says; after `delay` seconds, or when it is closed if that comes first."""

    status: int = 204
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Received:
    """One request; `headers` finds its names in any case, `at` is time.monotonic()."""

    method: str
    path: str
    query: str
    headers: Message
    body: bytes
    at: float

    def json(self) -> Any:
        return orjson.loads(self.body)


class _Server(ThreadingHTTPServer):
    """Ends with all its connections, also those that a client keeps open."""

    daemon_threads = False

    def __init__(self, *arguments: Any) -> None:
        self._open: set[Any] = set()
        self.accepted = 0
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        self.accepted += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End what is open, so that closing the server, which awaits its threads, waits for nobody."""
        for request in list(self._open):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


Behaviour = Answer | Callable[[Received], Answer]


class Receiver:
    """Start it with `with Receiver() as receiver`, or take the `receiver` fixture.

    It answers 204 until told otherwise: `receiver.answer("/hook", Answer(status=500))`; several answers
    are given in turn, the last for ever; a function of the request decides for itself.
    """

    def __init__(self) -> None:
        self._requests: list[Received] = []
        self._behaviours: dict[str, list[Behaviour]] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    def url(self, path: str = "/") -> str:
        """The address of `path` on this server."""
        return f"http://127.0.0.1:{self.port}{path}"

    def answer(self, path: str, *behaviours: Behaviour) -> None:
        """From now on, answer requests to `path` with these in turn."""
        with self._lock:
            self._behaviours[path] = list(behaviours)

    @property
    def connections(self) -> int:
        """How many were made so far."""
        return self._server.accepted

    @property
    def requests(self) -> list[Received]:
        """All of them so far, in the order of arrival."""
        with self._lock:
            return list(self._requests)

    def at(self, path: str) -> list[Received]:
        """Those to one path."""
        return [request for request in self.requests if request.path == path]

    def wait_for(
        self, n: int, seconds: float = PATIENCE_SECONDS, *, path: str | None = None
    ) -> list[Received]:
        """The requests (to `path`), once there are at least n; AssertionError when they do not come."""

        def arrived() -> list[Received]:
            return self.requests if path is None else self.at(path)

        try:
            wait_until(lambda: len(arrived()) >= n, seconds=seconds, what=f"{n} requests")
        except AssertionError as error:
            raise AssertionError(f"{error}; {len(arrived())} have come") from None
        return arrived()

    def _take(self, request: Received) -> Answer:
        with self._lock:
            self._requests.append(request)
            behaviours = self._behaviours.get(request.path) or [Answer()]
            behaviour = behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]
        answer = behaviour if isinstance(behaviour, Answer) else behaviour(request)
        if answer.delay:
            self._closing.wait(answer.delay)
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30
            disable_nagle_algorithm = True

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:  # the client went away, which is its right
                    self.close_connection = True

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                address = urlsplit(self.path)
                request = Received(
                    method=self.command,
                    path=address.path,
                    query=address.query,
                    headers=self.headers,
                    body=self.rfile.read(length),
                    at=time.monotonic(),
                )
                answer = receiver._take(request)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.status not in (204, 304):
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: object, **__: object) -> None:
                pass

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.answer)
        return Handler
