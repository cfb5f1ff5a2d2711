"""The guarded blocking HTTP client, on http.client: kept connections, each to an address that was vetted.

`send` follows redirects by hand, each through the guard; `private` headers never reach another origin.
One deadline covers a whole exchange, from DNS to the last byte, however slowly it drips, and one budget
all bytes that come; a packed body may not unpack to more than that either. No proxy of the environment is ever asked.
"""

import ssl
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from urllib.parse import quote, urljoin, urlsplit

from apps.common.outgoing import guard
from apps.common.outgoing.bounds import (
    Bounds,
    EncodingUnknown,
    Limits,
    SendFailed,
    TimedOut,
    TooLarge,
    TooManyRedirects,
)
from apps.common.outgoing.connections import Connection, kept, origin

CHUNK_BYTES = 1024 * 1024
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GZIP = 16 + zlib.MAX_WBITS
_GONE = (HTTPException, ConnectionError)
_PLAIN = "/:@!$&'()*+,;=%"  # beside letters, digits and what `quote` leaves alone


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `url` is where it came from after redirects, `received` counts bytes as sent.

    `packed` is the body in gzip's format when it came so.
    """

    status: int
    headers: HTTPMessage
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
    return Sent(method, url, headers or {}, private or {}, body, limits or Limits()).answer()


class Sent:
    """A request that has left, to be ended by `answer` or `drop`. What its sender does before that is not on the
    server's time. Both, and to make one, raise what `send` does."""

    def __init__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        private: Mapping[str, str],
        body: bytes | None,
        limits: Limits,
    ) -> None:
        self._method = method
        self._headers = {"accept-encoding": "gzip", **headers}
        self._private = private
        self._body = body
        self._limits = limits
        self._until = time.monotonic() + limits.total_seconds
        self._exchange = self._to(guard.parse(url))
        self._left_at = time.monotonic()

    def answer(self) -> Answer:
        """Wait for the whole answer, that of the last redirect."""
        self._until += time.monotonic() - self._left_at
        self._exchange.bounds.deadline = self._until
        followed = 0
        while (following := self._following(answer := self._exchange.answer())) is not None:
            if followed == self._limits.redirects:
                raise TooManyRedirects(f"It redirects more than {followed} times.")
            if origin(following) != origin(self._exchange.target):
                self._private = {}
            self._exchange = self._to(following)
            followed += 1
        return answer

    def drop(self) -> None:
        """Hang up: nobody wants the answer any more."""
        self._exchange.connection.close()

    def _to(self, target: guard.Target) -> "_Exchange":
        bounds = Bounds(self._limits, self._until)
        headers = {**self._headers, **self._private}
        return _Exchange(self._method, target, headers, self._body, bounds)

    def _following(self, answer: Answer) -> guard.Target | None:
        """Where a redirect leads; None for an answer that is none to be followed."""
        location = answer.headers.get("location")
        if self._method != "GET" or answer.status not in REDIRECTS or not location:
            return None
        try:
            return guard.parse(urljoin(answer.url, location))
        except guard.UrlInvalid:
            raise
        except ValueError as error:  # of urljoin, for brackets that it takes for an IPv6 address
            raise guard.UrlInvalid("Host or port cannot be read.") from error


class _Exchange:
    """One request, sent when it is made, and its answer."""

    def __init__(
        self,
        method: str,
        target: guard.Target,
        headers: Mapping[str, str],
        body: bytes | None,
        bounds: Bounds,
    ) -> None:
        self.target = target
        self.bounds = bounds
        self._request = method, _on_the_line(target.url), body, headers
        waiting = kept.take(origin(target))
        self._may_send_anew = waiting is not None and method == "GET"
        self.connection = waiting or Connection(target)
        with self._closing_when_it_fails():
            self._send()

    def answer(self) -> Answer:
        with self._closing_when_it_fails():
            response = self._response()
            raw = b"".join(self._chunks(response))
        if self.connection.sock is not None:  # else the server wanted it closed
            kept.keep(self.connection)
        encoding = ", ".join(response.headers.get_all("content-encoding", ())).strip().lower()
        return Answer(
            status=response.status,
            headers=response.headers,
            body=_unpacked(raw, encoding, self.bounds.limits.max_bytes),
            url=self.target.url,
            received=self.bounds.received,
            packed=raw if encoding in ("gzip", "x-gzip") and raw else None,
        )

    def _send(self) -> None:
        self.connection.bounds = self.bounds
        try:
            self.connection.request(*self._request)
        except _GONE as error:
            self._send_anew(error)

    def _send_anew(self, error: Exception) -> None:
        """A kept connection that the server has closed meanwhile says nothing about the server."""
        if not self._may_send_anew or self.bounds.received:
            raise error
        self._may_send_anew = False
        self.connection.close()
        self.connection = Connection(self.target)
        self._send()

    def _response(self) -> HTTPResponse:
        """The head of the answer."""
        try:
            response = self.connection.getresponse()
        except _GONE as error:
            self._send_anew(error)
            response = self.connection.getresponse()
        self.bounds.expect_body()
        lengths = ",".join(response.headers.get_all("content-length", ())).split(",")
        if len({length.strip() for length in lengths}) > 1:
            raise SendFailed("The answer has more than one length.")
        return response

    def _chunks(self, response: HTTPResponse) -> Iterator[bytes]:
        length, most = 0, self.bounds.limits.max_bytes
        while chunk := response.read(CHUNK_BYTES):
            length += len(chunk)
            if length > most:
                raise TooLarge(f"The body has more than {most:,} bytes.")
            yield chunk
        if response.length:  # http.client does not mind
            raise SendFailed("The connection broke off.")

    @contextmanager
    def _closing_when_it_fails(self) -> Iterator[None]:
        """Of what http.client or the system raises is told what it means, and nothing about our side."""
        try:
            yield
        except BaseException as error:
            self.connection.close()
            if isinstance(error, guard.AddressRefused | SendFailed):
                raise
            if isinstance(error, TimeoutError):
                raise TimedOut("The server did not answer in time.") from error
            if isinstance(error, ssl.SSLError):
                raise SendFailed(
                    "TLS could not be agreed on: the certificate or protocol is refused."
                ) from error
            if isinstance(error, HTTPException | OSError):
                raise SendFailed("The connection broke off.") from error
            raise


def _on_the_line(url: str) -> str:
    """Path and query as a request's first line has them: what cannot stand there is written in UTF-8, by %."""
    parts = urlsplit(url)
    path, query = quote(parts.path or "/", safe=_PLAIN), quote(parts.query, safe=_PLAIN + "?")
    return f"{path}?{query}" if query else path


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
