"""The guarded blocking HTTP client, on urllib3: pooled connections, each to an address that was vetted.

`send` follows redirects by hand, each through the guard; `private` headers never reach another origin.
One deadline covers a whole exchange, from DNS to the last byte, however slowly it drips, and one budget
all bytes that come; a packed body may not unpack to more than that either.
"""

import io
import socket
import ssl
import time
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import TimeoutError as FutureTimeout
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from http.client import HTTPResponse
from typing import Any, cast
from urllib.parse import urljoin

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from apps.common.outgoing import guard

# Of one answer's head, interim answers included.
MAX_HEAD_BYTES = 262_144
# Read at once: heads are small, a body is read past the buffer.
BUFFER_BYTES = 16_384
CHUNK_BYTES = 1024 * 1024
POOLS = 100
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GZIP = 16 + zlib.MAX_WBITS


class SendFailed(Exception):
    """There is no whole answer; `code` is a stable word for what went wrong."""

    code = "connection_failed"


class TimedOut(SendFailed):
    code = "timed_out"


class TooLarge(SendFailed):
    code = "answer_too_large"


class TooManyRedirects(SendFailed):
    code = "too_many_redirects"


class EncodingUnknown(SendFailed):
    """The body is packed in a way that we did not ask for, or cannot be unpacked."""

    code = "encoding_unknown"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may cost. `max_bytes` holds for the body as sent and as unpacked."""

    total_seconds: float = 30.0
    connect_seconds: float = 5.0
    silence_seconds: float = 15.0
    max_bytes: int = 32 * 1024 * 1024
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `url` is where it came from after redirects, `received` counts bytes as sent.

    `packed` is the body in gzip's format when it came so.
    """

    status: int
    headers: "urllib3.HTTPHeaderDict"
    body: bytes
    url: str
    received: int
    packed: bytes | None


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    private: Mapping[str, str] | None = None,
    body: bytes | None = None,
    limits: Limits | None = None,
) -> Answer:
    """Ask `url`; redirects of a GET are followed.

    `private` headers go to the origin of `url` alone, and to no further hop once that was left. Raises
    SendFailed, guard.AddressRefused or guard.UrlInvalid.
    """
    limits = limits or Limits()
    deadline = time.monotonic() + limits.total_seconds
    target = guard.parse(url)
    sent = {"accept-encoding": "gzip", **(headers or {})}
    secret = dict(private or {})
    for _ in range(limits.redirects + 1):
        exchange = _Exchange(limits, deadline)
        answer = exchange.run(method, target, {**sent, **secret}, body)
        location = answer.headers.get("location")
        if method != "GET" or answer.status not in REDIRECTS or not location:
            return answer
        following = _following(target, location)
        if origin(following) != origin(target):
            secret = {}
        target = following
    raise TooManyRedirects(f"It redirects more than {limits.redirects} times.")


def _following(target: guard.Target, location: str) -> guard.Target:
    try:
        return guard.parse(urljoin(target.url, location))
    except guard.UrlInvalid:
        raise
    except ValueError as error:  # of urljoin, for brackets that it takes for an IPv6 address
        raise guard.UrlInvalid("Host or port cannot be read.") from error


def origin(target: guard.Target) -> tuple[str, str, int]:
    """Scheme, host and port: what credentials are for (RFC 6454)."""
    return target.scheme, target.host, target.port


class _Exchange:
    """One request and its answer, within a deadline and a budget of bytes."""

    def __init__(self, limits: Limits, deadline: float) -> None:
        self.limits = limits
        self.deadline = deadline
        self.received = 0
        self.allowed = MAX_HEAD_BYTES
        self.has_connected = False
        self.awaits_head = True

    def run(
        self, method: str, target: guard.Target, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        token = _current.set(self)
        try:
            return self._run(method, target, headers, body)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _plain(error) from error
        finally:
            _current.reset(token)

    def _run(
        self, method: str, target: guard.Target, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        try:
            response = self._ask(method, target, headers, body)
        except urllib3.exceptions.ProtocolError:
            # A kept connection that the server has closed meanwhile says nothing about the server.
            if self.has_connected or self.received or method != "GET":
                raise
            response = self._ask(method, target, headers, body)
        try:
            raw = b"".join(self._chunks(response))
        except BaseException:
            response.close()
            raise
        response.release_conn()
        packed = response.headers.get("content-encoding", "identity").strip().lower()
        return Answer(
            status=response.status,
            headers=response.headers,
            body=_unpacked(raw, packed, self.limits.max_bytes),
            url=target.url,
            received=self.received,
            packed=raw if packed in ("gzip", "x-gzip") and raw else None,
        )

    def _ask(
        self, method: str, target: guard.Target, headers: Mapping[str, str], body: bytes | None
    ) -> urllib3.BaseHTTPResponse:
        response = _pools().urlopen(
            method,
            target.url,
            body=body,
            headers=headers,
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
            timeout=urllib3.Timeout(
                connect=min(self.limits.connect_seconds, self.remaining()),
                read=self.limits.silence_seconds,
            ),
        )
        self.awaits_head = False
        self.allowed = self.received + self.limits.max_bytes + MAX_HEAD_BYTES
        return response

    def _chunks(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        length = 0
        for chunk in response.stream(CHUNK_BYTES, decode_content=False):
            length += len(chunk)
            if length > self.limits.max_bytes:
                raise TooLarge(f"The body has more than {self.limits.max_bytes:,} bytes.")
            yield chunk

    def remaining(self) -> float:
        """Seconds that are left; raises TimedOut when none are."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimedOut(f"It took more than {self.limits.total_seconds:g} s.")
        return left

    def take(self, count: int) -> None:
        """Count bytes that came."""
        self.received += count
        if self.received > self.allowed:
            raise TooLarge("The server sends too much.")


# urllib3 makes the connections and reads from them, in the thread of the exchange.
_current: ContextVar[_Exchange] = ContextVar("outgoing_exchange")


class _TimedReader(io.RawIOBase):
    """Reads from a socket for whichever exchange is under way on it."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._inner = connected.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        exchange = _current.get()
        self._socket.settimeout(min(exchange.remaining(), exchange.limits.silence_seconds))
        try:
            count = self._inner.readinto(buffer)
        except TimeoutError:
            exchange.remaining()
            raise TimedOut("The server fell silent.") from None
        exchange.take(count or 0)
        if not count and exchange.awaits_head and exchange.received:
            raise SendFailed(
                "The connection broke off."
            )  # http.client takes a cut head for a whole
        return count

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()


class _TimedSocket:
    """As much of a socket as http.client reads an answer from."""

    def __init__(self, connected: socket.socket) -> None:
        self._connected = connected

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._connected), BUFFER_BYTES)


class _TimedResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(cast(socket.socket, _TimedSocket(sock)), *args, **kwargs)


class _Connection(HTTPConnection):
    response_class = _TimedResponse

    def _new_conn(self) -> socket.socket:
        return _connected(self._dns_host, self.port)


class _TlsConnection(HTTPSConnection):
    response_class = _TimedResponse

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "ssl_context": _tls()})

    def _new_conn(self) -> socket.socket:
        return _connected(self._dns_host, self.port)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


@cache
def _tls() -> ssl.SSLContext:
    """Made when it is needed first: reading the system's certificates takes as long as twenty requests."""
    return ssl.create_default_context()


@cache
def _pools() -> urllib3.PoolManager:
    """The process's connections (thread-safe). No proxy of the environment is ever asked."""
    pools = urllib3.PoolManager(num_pools=POOLS, maxsize=8, block=False)
    pools.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return pools


def _connected(host: str, port: int) -> socket.socket:
    """A connection to the first of the host's addresses that takes it; all of them must be allowed."""
    exchange = _current.get()
    exchange.has_connected = True
    failure: OSError | None = None
    for address in _vetted(host.strip("[]"), port, exchange):
        patience = min(exchange.remaining(), exchange.limits.connect_seconds)
        try:
            connected = socket.create_connection((address, port), timeout=patience)
        except OSError as error:
            failure = error
            continue
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected
    if isinstance(failure, TimeoutError):
        raise TimedOut("No connection could be made in time.") from failure
    raise SendFailed("No connection could be made.") from failure


def _vetted(host: str, port: int, exchange: _Exchange) -> list[str]:
    guard.require_name_allowed(host)
    looking_up = guard.dns_threads.submit(guard.addresses_of, host, port)
    try:
        addresses = looking_up.result(min(exchange.remaining(), exchange.limits.connect_seconds))
    except FutureTimeout:
        looking_up.cancel()
        raise TimedOut("The name could not be resolved in time.") from None
    except (OSError, UnicodeError) as error:
        raise SendFailed("The name could not be resolved.") from error
    for address in addresses:
        guard.require_allowed(address)
    return addresses


def _unpacked(raw: bytes, encoding: str, most: int) -> bytes:
    """The body itself; unpacking stops at the first byte over `most`."""
    if encoding in ("identity", "") or not raw:
        return raw
    if encoding not in ("gzip", "x-gzip"):
        raise EncodingUnknown("The body is packed with something other than gzip.")
    parts: list[bytes] = []
    length = 0
    while raw:
        member = zlib.decompressobj(_GZIP)
        try:
            parts.append(member.decompress(raw, most - length + 1))
        except zlib.error:
            raise EncodingUnknown("The body is not gzip, although it says so.") from None
        length += len(parts[-1])
        if length > most:
            raise TooLarge(f"The body unpacks to more than {most:,} bytes.")
        if not member.eof:
            raise SendFailed("The packed body breaks off.")
        raw = member.unused_data
    return b"".join(parts)


def _plain(error: Exception) -> Exception:
    """What is told of an exception of urllib3 or the system: nothing about our side."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, guard.AddressRefused | SendFailed):
            return inner
        if isinstance(inner, TimeoutError | urllib3.exceptions.TimeoutError):
            return TimedOut("The server did not answer in time.")
        if isinstance(inner, ssl.SSLError | urllib3.exceptions.SSLError):
            return SendFailed("TLS could not be agreed on: the certificate or protocol is refused.")
        causes = (cause for cause in inner.args if isinstance(cause, BaseException))
        inner = next(causes, None) or inner.__cause__
    return SendFailed("The connection broke off.")
