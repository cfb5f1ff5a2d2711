"""The guarded asynchronous HTTP client: every connect is vetted, nothing is followed or unpacked."""

import asyncio
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any, NamedTuple, cast

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from django.conf import settings
from yarl import URL

from apps.common.outgoing import guard, timing

TOTAL_SECONDS = 15.0
CONNECT_SECONDS = 5.0
DNS_SECONDS = 5.0
MAX_RESPONSE_BYTES = 20_000
# All that is taken of one answer: heads, chunk extensions, trailers, and a body of more than is kept.
MAX_RECEIVED_BYTES = 65_536
REMEMBERED_TARGETS = 4096


class ResponseTooLarge(aiohttp.ClientPayloadError):
    """The server sent more than 64 kB without an answer in it."""


@dataclass(slots=True)  # frozen, one would take three times as long to make
class Answer:
    """What came back: of the body the first 20 kB, or as much of it as came in time and unbroken."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Target(NamedTuple):
    """What all requests to a URL have in common."""

    request: aiohttp.ClientRequest  # by which the connector knows where to
    head: bytes


class Client:
    """Posts to addresses that users gave us; make it inside the loop that uses it.

    aiohttp makes and keeps the connections, and reads the answers. The request is written here, in one piece
    (ADR 43). No proxy of the environment is used, no cookie kept, nothing followed, no body decompressed.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._common = _lines({"accept": "*/*", "accept-encoding": "identity", **headers})
        self._connector = _Connector(
            resolver=_GuardedResolver(),
            socket_factory=_guarded_socket,
            ssl=timing.tls_context(),
            limit=0,  # the callers have limits of their own
            ttl_dns_cache=10,
        )
        self._timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS)
        self._target = lru_cache(REMEMBERED_TARGETS)(self._new_target)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connector.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send and read the answer, within 15 s from DNS to the last byte.

        Raises aiohttp.ClientError, HttpProcessingError, TimeoutError or OSError when there is no status. Once
        there is one it has decided: a body that is late or broken changes nothing.
        """
        target = self._target(url)
        until = asyncio.get_running_loop().time() + TOTAL_SECONDS
        async with asyncio.timeout_at(until):
            connection = await self._connect(target)
            try:
                head = b"%scontent-length: %d\r\n%s\r\n" % (target.head, len(body), _lines(headers))
                message, content = await _exchange(connection, head + body)
            except BaseException:
                _close(connection)
                raise
        try:
            kept = b"" if content.at_eof() else await _read_capped(content, until)
        finally:
            _let_go(connection)
        return Answer(message.code, message.headers, kept)

    async def _connect(self, target: _Target) -> Connection:
        try:
            return await self._connector.connect(target.request, [], self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error

    def _new_target(self, url: str) -> _Target:
        try:
            parsed = URL(url)
        except ValueError as error:
            raise aiohttp.InvalidURL(url) from error
        request = aiohttp.ClientRequest("POST", parsed)
        start = f"POST {parsed.raw_path_qs} HTTP/1.1\r\nhost: {parsed.host_port_subcomponent}\r\n"
        return _Target(request, start.encode("ascii") + self._common)


def _lines(headers: Mapping[str, str]) -> bytes:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode("ascii")


async def _exchange(
    connection: Connection, request: bytes
) -> tuple[RawResponseMessage, StreamReader]:
    """Send a request; the head of its answer, and the body to be read. Interim answers are passed over."""
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None:
        raise aiohttp.ServerDisconnectedError
    protocol.set_response_params(read_until_eof=True, auto_decompress=False)
    transport.write(request)
    while True:
        message, content = await protocol.read()
        if not 100 <= message.code < 200 or message.code == HTTPStatus.SWITCHING_PROTOCOLS:
            return message, content


def _let_go(connection: Connection) -> None:
    """To be used again; or closed, where there is more to read, or the answer came before all was sent."""
    if _has_unsent(connection):
        _close(connection)
    else:
        connection.release()


def _close(connection: Connection) -> None:
    # A server that does not read would have it kept open, with what is unsent, for as long as it likes.
    if _has_unsent(connection) and connection.protocol is not None:
        connection.protocol.abort()
    connection.close()


def _has_unsent(connection: Connection) -> bool:
    transport = connection.transport
    return transport is not None and transport.get_write_buffer_size() > 0


async def _read_capped(content: StreamReader, until: float) -> bytes:
    """The first 20 kB of a body, or as much of it as comes until then (the loop's time) and unbroken."""
    kept = bytearray()
    with suppress(aiohttp.ClientError, OSError):
        async with asyncio.timeout_at(until):
            async for chunk in content.iter_any():
                kept += chunk
                if len(kept) > MAX_RESPONSE_BYTES:
                    break
    return bytes(kept[:MAX_RESPONSE_BYTES])


class _Connector(aiohttp.TCPConnector):
    """Makes connections that take no more than 64 kB of one answer."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # aiohttp 3.14 has no public way to give a connection its protocol, nor a limit on all that one
        # sends: only on one line, and on the number of headers of one head.
        capped = partial(_CappedHandler, loop=self._loop)
        self._factory = cast("partial[ResponseHandler]", capped)


class _CappedHandler(ResponseHandler):
    """Counts what the server sends. Whatever it sends costs time in the loop that all requests share:
    interim answers (`100 Continue`) without end are parsed and thrown away without a pause, so that
    even the time limit does not get its turn."""

    _received = 0
    _timing: timing.Timing | None = None
    _allowed_by: object = None

    def is_connected(self) -> bool:
        """Asked before it is used again. What has been refused since is not, nor where something came that
        nobody asked for: it would be taken for the next answer."""
        return super().is_connected() and not self.should_close and self._may_be_used()

    def set_response_params(self, **options: Any) -> None:
        """A request begins on this connection."""
        self._received = 0
        self._timing = timing.current()
        if self._timing is not None:
            self._timing.sent_at = time.monotonic()
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        if self._timing is not None and self._timing.answered_at is None:
            self._timing.answered_at = time.monotonic()
        room = MAX_RECEIVED_BYTES - self._received
        self._received += len(data)
        if room > 0:
            super().data_received(data[:room])
        if len(data) > room:
            self._stop()

    def _may_be_used(self) -> bool:
        if self._allowed_by is settings.OUTGOING_ALLOWED_NETWORKS:
            return True
        peer = self.transport.get_extra_info("peername") if self.transport is not None else None
        if peer is None or not guard.is_text_allowed(peer[0]):
            return False
        self._allowed_by = settings.OUTGOING_ALLOWED_NETWORKS
        return True

    def _stop(self) -> None:
        # A body that fills what is kept of it is a good answer: its reader ends the connection.
        body = self._payload
        if body is not None and body.total_bytes > MAX_RESPONSE_BYTES:
            return
        if self.transport is not None:
            self.transport.abort()
        if self.exception() is None:
            self.set_exception(ResponseTooLarge("The server sends too much."))
        if body is not None and not body.is_eof():
            body.set_exception(ResponseTooLarge("The server sends too much."))


class _GuardedResolver(AbstractResolver):
    """Refuses a name when it is itself refused, or any of its addresses."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        guard.require_name_allowed(host)
        asking = asyncio.get_running_loop().run_in_executor(
            guard.dns_threads, guard.addresses_of, host, port
        )
        try:
            addresses = await asyncio.wait_for(asking, DNS_SECONDS)
        except (TimeoutError, UnicodeError) as error:
            raise OSError("The name could not be resolved.") from error
        for address in addresses:
            guard.require_allowed(address)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
            if family in (socket.AF_UNSPEC, socket.AF_INET6 if ":" in address else socket.AF_INET)
        ]

    async def close(self) -> None:
        """Nothing to close: the threads are shared."""


def _guarded_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """The last look, at the very address that will be connected to: hosts written as addresses come
    here without a resolver, names with whatever was resolved."""
    family, kind, proto, _, address = info
    guard.require_allowed(str(address[0]))
    timing.mark_opened()
    return socket.socket(family=family, type=kind, proto=proto)
