"""A webhook receiver as a customer would write it: it believes nothing but the signature."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True, slots=True)
class Received:
    """One verified call: its parsed body, its headers, and when it came (`time.perf_counter`)."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    at: float


class Receiver:
    """An HTTP server on a free port of the loopback interface; a context manager.

    Each path has the secret of the endpoint that points to it. A call whose signature does not verify
    is answered with 401 and not recorded.
    """

    def __init__(self) -> None:
        self._secrets: dict[str, str] = {}
        self._received: list[Received] = []
        self._arrived = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    def __enter__(self) -> "Receiver":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def trust(self, path: str, secret: str) -> None:
        """Accept what is signed with `secret` (`whsec_…`) at `path`."""
        self._secrets[path] = secret

    @property
    def received(self) -> list[Received]:
        """The calls so far."""
        with self._arrived:
            return list(self._received)

    def wait_for(
        self, wanted: Callable[[Received], bool], seconds: float, *, after: int = 0
    ) -> Received | None:
        """The first call that `wanted` accepts, from the `after`th on; None when none came in time."""
        deadline = time.monotonic() + seconds
        with self._arrived:
            while True:
                for call in self._received[after:]:
                    if wanted(call):
                        return call
                if not self._arrived.wait(deadline - time.monotonic()):
                    return None

    def _accept(self, path: str, raw: bytes, headers: dict[str, str], at: float) -> bool:
        secret = self._secrets.get(path)
        if secret is None:
            return False
        try:
            body = Webhook(secret).verify(raw, headers)
        except WebhookVerificationError:
            return False
        with self._arrived:
            self._received.append(Received(path=path, body=body, headers=headers, at=at))
            self._arrived.notify_all()
        return True

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                at = time.perf_counter()
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(204 if receiver._accept(self.path, raw, headers, at) else 401)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """The demo tells its own story."""

        return Handler
