"""The HTTP server: tokens, limits, moods, then the call itself; and `/_control` for whoever minds it."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from sandbox.hubspot.api import Api, Asked, Reply, canonical
from sandbox.hubspot.records import Record, Records
from sandbox.hubspot.refusals import Refusal, refusal
from sandbox.hubspot.settings import Limits, Scripted, Settings
from sandbox.hubspot.webhooks import Messenger, News

KEPT_CALLS = 20_000
_NO_CONTROL: Reply = (404, {"message": "There is no such control."})


@dataclass(frozen=True)
class Call:
    """A call that came: `size` inputs, answered with `status` (0: not at all) at `at` (monotonic)."""

    method: str
    path: str
    size: int
    status: int
    at: float
    token: str
    body: Any


class Simulator:
    """A context manager; `port` 0 takes a free one. Tests use its attributes, others `/_control`."""

    def __init__(self, port: int = 0) -> None:
        self.settings = Settings()
        self.records = Records()
        self.calls: list[Call] = []
        self._script: list[Scripted] = []
        self._limits = Limits(self.settings)
        self._api = Api(self.records, self.settings)
        self._messenger = Messenger(self.settings)
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._open = threading.Event()
        self._open.set()
        self.held_up = 0
        self._server = _Server(("127.0.0.1", port), _handler_of(self))
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> "Simulator":
        self._thread.start()
        self._messenger.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._open.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()
        self._messenger.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add_contact(self, email: str, **properties: str) -> Record:
        """A contact that was there before anybody called."""
        with self._lock:
            made = self.records.create("contacts", {"email": email, **properties})
            self.records.take_news()
            return made

    def edit_contact(self, contact_id: str, **properties: str) -> None:
        """As somebody in HubSpot does it, which is told by webhook."""
        with self._lock:
            self.records.update("contacts", self.records.contacts[contact_id], properties)
            self._messenger.tell(self.records.take_news())

    def delete_contact(self, contact_id: str) -> None:
        """The same."""
        with self._lock:
            self.records.archive("contacts", self.records.contacts[contact_id])
            self._messenger.tell(self.records.take_news())

    def merge_contacts(self, primary_id: str, other_id: str) -> None:
        """The same; the other is no more."""
        with self._lock:
            contacts = self.records.contacts
            self.records.merge(contacts[primary_id], contacts[other_id])
            self._messenger.tell(self.records.take_news())

    def news(self) -> list[News]:
        """Notices of what changed since this was last asked, while no webhook_url is set."""
        with self._lock:
            return self._messenger.waiting()

    def contact(self, email: str) -> Record | None:
        """The contact of this address, main or additional."""
        with self._lock:
            return self.records.find("contacts", email, by="email")

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """While the block runs, calls that come (`held_up` of them) are not carried out yet."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def script(self, *answers: Scripted) -> None:
        """Answer the next matching calls with these instead."""
        with self._lock:
            self._script.extend(answers)

    def calls_to(self, part: str) -> list[Call]:
        """The calls so far whose path has `part`, oldest first."""
        with self._lock:
            return [call for call in self.calls if part in call.path]

    def forget_script(self) -> None:
        with self._lock:
            self._script.clear()

    @property
    def connections(self) -> int:
        """How many were opened so far."""
        return self._server.accepted

    def forget_calls(self) -> None:
        with self._lock:
            self.calls.clear()
            self._limits.reset()

    # What the handler asks

    def answer(self, asked: Asked, authorization: str) -> tuple[int, Any, dict[str, str]] | None:
        """Status, body and headers; None hangs up without an answer."""
        if asked.path.startswith("/_control/"):
            with self._lock:
                status, body = self._control(asked)
            return status, body, {}
        token = authorization.removeprefix("Bearer ")
        self._await_leave()
        scripted = self._next_scripted(asked)
        self._closing.wait((scripted.delay if scripted else 0) + self.settings.latency_seconds)
        status, answered, more = self._answer(asked, token, scripted)
        with self._lock:
            size = len(asked.body.get("inputs", [])) if isinstance(asked.body, dict) else 0
            path = canonical(asked.path)
            self.calls.append(
                Call(asked.method, path, size, status, time.monotonic(), token, asked.body)
            )
            del self.calls[:-KEPT_CALLS]
        if status == 0:
            return None
        return status, answered, {"x-hubspot-correlation-id": str(uuid4()), **more}

    def _answer(
        self, asked: Asked, token: str, scripted: Scripted | None
    ) -> tuple[int, Any, dict[str, str]]:
        if scripted is not None and not scripted.after:
            return _scripted_reply(scripted)
        limit_headers: dict[str, str] = {}
        try:
            self._check_mood(asked)
            self._check_token(token, asked.path)
            if not asked.path.startswith("/account-info/"):
                limit_headers, one_too_many = self._limits.count(
                    is_search=asked.path.endswith("/search")
                )
                if one_too_many is not None:
                    raise one_too_many
            with self._lock:
                status, body = self._api.call(asked)
                news = self.records.take_news()
                self._messenger.tell(news if self.settings.echoes else [])
        except Refusal as refused:
            return refused.status, refused.body, {**limit_headers, **refused.headers}
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            broken = refusal(400, "VALIDATION_ERROR", f"Invalid input JSON: {error!r}")
            return broken.status, broken.body, limit_headers
        if scripted is not None:
            return _scripted_reply(scripted)
        return status, body, limit_headers

    def _await_leave(self) -> None:
        with self._lock:
            self.held_up += 1
        self._open.wait()
        with self._lock:
            self.held_up -= 1

    def _check_mood(self, asked: Asked) -> None:
        status = self.settings.always
        breaking = self.settings.breaks_on
        if breaking and breaking in json.dumps(asked.body):
            raise refusal(500, "INTERNAL_ERROR", "This record breaks us.")
        if status:
            found = refusal(status, "INTERNAL_ERROR", "There was a problem with the request.")
            raise replace(found, headers=dict(self.settings.always_headers))

    def _check_token(self, token: str, path: str) -> None:
        if not token or token in self.settings.void_tokens:
            raise refusal(
                401,
                "INVALID_AUTHENTICATION",
                "Authentication credentials not found or no longer valid.",
            )
        part = self.settings.unscoped_path
        if token in self.settings.unscoped_tokens or (part and part in path):
            scopes = [f"crm.objects.{'deals' if 'deals' in path else 'contacts'}.write"]
            raise refusal(
                403,
                "MISSING_SCOPES",
                "This app hasn't been granted all required scopes to make this call.",
                errors=[{"message": "scopes", "context": {"requiredGranularScopes": scopes}}],
            )

    def _next_scripted(self, asked: Asked) -> Scripted | None:
        with self._lock:
            for index, one in enumerate(self._script):
                if one.path in asked.path:
                    return self._script.pop(index)
        return None

    # The control API

    def _control(self, asked: Asked) -> Reply:
        controls: dict[tuple[str, str], Callable[[Any], Any]] = {
            ("GET", "settings"): lambda _: self.settings.as_json(),
            ("PATCH", "contacts"): lambda body: self.edit_contact(body["id"], **body["properties"]),
            ("PATCH", "settings"): lambda body: self.settings.change(**body),
            ("POST", "answers"): lambda body: self.script(
                *(Scripted(**one) for one in body["answers"])
            ),
            ("GET", "calls"): lambda _: {
                "calls": [asdict(replace(call, token="…")) for call in self.calls]
            },
            ("GET", "contacts"): lambda _: {"results": self._contacts()},
            ("GET", "deals"): lambda _: {"results": self.deals()},
            ("GET", "held"): lambda _: {"held_up": self.held_up},
            ("POST", "hold"): lambda _: self._open.clear(),
            ("POST", "release"): lambda _: self._open.set(),
            ("POST", "reset"): lambda _: self.reset(),
        }
        control = controls.get((asked.method, asked.path.removeprefix("/_control/")))
        if control is None:
            return 404, {"message": "There is no such control."}
        try:
            return 200, control(asked.body) or {}
        except (KeyError, TypeError, ValueError) as error:
            return 400, {"message": str(error)}

    def _contacts(self) -> list[dict[str, Any]]:
        rows = (one for one in self.records.contacts.values() if not one.archived)
        return [one.as_json() for one in rows]

    def deals(self) -> list[dict[str, Any]]:
        """Each with the ids of its contacts."""
        with self._lock:
            made = [one for one in self.records.deals.values() if not one.archived]
            return [
                one.as_json(
                    None,
                    contacts=[
                        to_id
                        for *link, to_id in sorted(self.records.associations)
                        if link == ["deals", one.id, "contacts"]
                    ],
                )
                for one in made
            ]

    def reset(self) -> None:
        """As it was when it started."""
        with self._lock:
            self.settings.__init__()  # type: ignore[misc]  # the same object, all defaults
            self.records.__init__()  # type: ignore[misc]
            self._script.clear()
            self.forget_calls()


def _scripted_reply(scripted: Scripted) -> tuple[int, Any, dict[str, str]]:
    body = scripted.raw if scripted.raw is not None else scripted.body
    return scripted.status, body, scripted.headers


class _Server(ThreadingHTTPServer):
    """Ends with all its connections, also those that a client keeps open."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: set[Any] = set()
        self.accepted = 0
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        self.accepted += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for request in list(self._open):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Reads a call, writes the simulator's answer; `_handler_of` gives it a simulator."""

    simulator: ClassVar[Simulator]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each call takes 40 ms
    wbufsize = -1

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the client went away, which is its right
            self.close_connection = True

    def carry_out(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        address = urlsplit(self.path)
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            body = None
        asked = Asked(self.command, address.path, dict(parse_qsl(address.query)), body)
        answered = self.simulator.answer(asked, self.headers.get("Authorization", ""))
        if answered is None:
            self.close_connection = True
        else:
            self._send(*answered)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = carry_out

    def _send(self, status: int, body: Any, headers: dict[str, str]) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        content = b"" if body is None else text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json;charset=utf-8")
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Who minds it reads `/_control/calls`."""


def _handler_of(simulator: Simulator) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"simulator": simulator})
