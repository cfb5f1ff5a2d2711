"""Connections of the blocking client: each to an address that was vetted, kept for the next request to its origin.

They are http.client's own. Its seams are used to connect where the guard lets us, and to read within the bounds of
whichever exchange is under way (docs/adr/0052).
"""

import io
import socket
import ssl
import threading
from collections import deque
from concurrent.futures import TimeoutError as FutureTimeout
from functools import cache
from http.client import HTTPConnection, HTTPResponse
from select import POLLIN, poll
from typing import Any, cast

from apps.common.outgoing import guard
from apps.common.outgoing.bounds import Bounds, SendFailed, TimedOut

KEPT = 100  # connections of the process that wait for their next request
# Read at once: heads are small, a body is read past the buffer.
BUFFER_BYTES = 16_384

Origin = tuple[str, str, int]


def origin(target: guard.Target) -> Origin:
    """Scheme, host and port: what credentials are for (RFC 6454)."""
    return target.scheme, target.host, target.port


class Connection(HTTPConnection):
    """To the origin of `target`, for one exchange after the other: `bounds` are those of the present one."""

    def __init__(self, target: guard.Target) -> None:
        super().__init__(target.host, target.port)
        self.origin = origin(target)
        self.bounds: Bounds | None = None
        self.default_port = 443 if target.scheme == "https" else 80  # which is not named in `Host`
        self.response_class = cast(type[HTTPResponse], self._response)

    @property
    def is_dropped(self) -> bool:
        """Whether the server has closed it, or said something that nobody asked for."""
        waiting = poll()
        waiting.register(self.sock, POLLIN)
        return bool(waiting.poll(0))

    def connect(self) -> None:
        scheme, host, port = self.origin
        bounds = cast(Bounds, self.bounds)
        self.sock = _connected(host, port, bounds)
        if scheme == "https":
            self.sock.settimeout(bounds.to_connect())  # of the handshake as a whole
            self.sock = _tls().wrap_socket(self.sock, server_hostname=host.removesuffix("."))

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self.sock.settimeout(cast(Bounds, self.bounds).patience())
        super().send(data)

    def _response(self, connected: socket.socket, *args: Any, **kwargs: Any) -> HTTPResponse:
        reading = _Reading(_Reader(connected, cast(Bounds, self.bounds)))
        return HTTPResponse(cast(socket.socket, reading), *args, **kwargs)


class _Reading:
    """As much of a socket as http.client reads an answer from."""

    def __init__(self, reader: "_Reader") -> None:
        self._reader = reader

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader, BUFFER_BYTES)


class _Reader(io.RawIOBase):
    """Reads an answer within its bounds."""

    def __init__(self, connected: socket.socket, bounds: Bounds) -> None:
        self._socket = connected
        self._bounds = bounds
        self._inner = connected.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        bounds = self._bounds
        self._socket.settimeout(bounds.patience())
        try:
            count = self._inner.readinto(buffer)
        except TimeoutError:
            bounds.remaining()
            raise TimedOut("The server fell silent.") from None
        bounds.take(count or 0)
        if not count and bounds.received and bounds.awaits_head:
            raise SendFailed(
                "The connection broke off."
            )  # http.client takes a cut head for a whole
        return count

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()


class _Kept:
    """Connections that wait for their next request, the one that was used last behind all others."""

    def __init__(self) -> None:
        self._waiting: deque[Connection] = deque()
        self._lock = threading.Lock()

    def take(self, wanted: Origin) -> Connection | None:
        """One to that origin which is still there; it is the caller's now."""
        while (found := self._last(wanted)) is not None:
            if not found.is_dropped:
                return found
            found.close()
        return None

    def _last(self, wanted: Origin) -> Connection | None:
        with self._lock:
            for connection in reversed(self._waiting):
                if connection.origin == wanted:
                    self._waiting.remove(connection)
                    return connection
        return None

    def keep(self, connection: Connection) -> None:
        """Have it for whoever asks that origin next."""
        connection.bounds = None
        with self._lock:
            self._waiting.append(connection)
            gone = self._waiting.popleft() if len(self._waiting) > KEPT else None
        if gone is not None:
            gone.close()

    def clear(self) -> None:
        """Close all of them."""
        with self._lock:
            gone, self._waiting = self._waiting, deque()
        for connection in gone:
            connection.close()


kept = _Kept()


@cache
def _tls() -> ssl.SSLContext:
    """Made when it is needed first: reading the system's certificates takes as long as twenty requests."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _connected(host: str, port: int, bounds: Bounds) -> socket.socket:
    """A connection to the first of the host's addresses that takes it; all of them must be allowed."""
    failure: OSError | None = None
    for address in _vetted(host, port, bounds):
        try:
            connected = socket.create_connection((address, port), timeout=bounds.to_connect())
        except OSError as error:
            failure = error
            continue
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected
    if isinstance(failure, TimeoutError):
        raise TimedOut("No connection could be made in time.") from failure
    raise SendFailed("No connection could be made.") from failure


def _vetted(host: str, port: int, bounds: Bounds) -> list[str]:
    guard.require_name_allowed(host)
    looking_up = guard.dns_threads.submit(guard.addresses_of, host, port)
    try:
        addresses = looking_up.result(bounds.to_connect())
    except FutureTimeout:
        looking_up.cancel()
        raise TimedOut("The name could not be resolved in time.") from None
    except (OSError, UnicodeError) as error:
        raise SendFailed("The name could not be resolved.") from error
    for address in addresses:
        guard.require_allowed(address)
    return addresses
