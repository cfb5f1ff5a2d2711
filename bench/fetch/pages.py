"""A remote API: records in pages of 1,000, ready-made. `/items?page=N`; `/tagged?page=N` has ETags.

`python -m bench.fetch.pages COUNT` prints its port and answers until it is ended.
"""

import asyncio
import hashlib
import json
import re
import sys

PAGE = 1000
_REQUEST = re.compile(rb"GET /(items|tagged)\?(?:\S*&)?page=(\d+)\S* ")
_CONDITION = re.compile(rb"\r\nif-none-match: *(\S+)", re.IGNORECASE)
_EMPTY = b'{"results":[]}'


def record(number: int) -> dict[str, object]:
    """About 375 bytes as JSON."""
    return {
        "id": number,
        "number": f"A-{number:08}",
        "email": f"customer{number % 5000}@example.com",
        "status": ("open", "paid", "shipped", "returned")[number % 4],
        "total": number * 7 % 100_000,
        "weight": number % 977 / 8,
        "currency": "EUR",
        "is_gift": number % 9 == 0,
        "created_at": f"2026-11-{1 + number % 28:02}T09:{number % 60:02}:00Z",
        "updated_at": f"2026-11-{1 + number % 28:02}T10:{number % 60:02}:30Z",
        "city": f"Town {number % 311}",
        "note": "delivered \\ as agreed, " + "x" * 100,
    }


def bodies(count: int) -> list[bytes]:
    """The pages, from the first on."""
    return [
        json.dumps(
            {"results": [record(n) for n in range(first, min(first + PAGE, count + 1))]},
            separators=(",", ":"),
        ).encode()
        for first in range(1, count + 1, PAGE)
    ]


class Api(asyncio.Protocol):
    """HTTP/1.1 as far as clients of this benchmark speak it."""

    def __init__(self, pages: list[bytes]) -> None:
        self._pages = pages
        self._tags = [b'"%s"' % hashlib.md5(page).hexdigest().encode() for page in pages]
        self._buffer = b""

    def __call__(self) -> "Api":
        """One for each connection, of the same pages."""
        made = object.__new__(Api)
        made._pages, made._tags, made._buffer = self._pages, self._tags, b""
        return made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, self._buffer = self._buffer[: end + 2], self._buffer[end + 4 :]
            self._transport.writelines(self._answer(head))

    def _answer(self, head: bytes) -> list[bytes]:
        found = _REQUEST.match(head)
        if found is None:
            return [b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]
        page = int(found[2]) - 1
        is_there = 0 <= page < len(self._pages)
        body = self._pages[page] if is_there else _EMPTY
        tag = self._tags[page] if is_there and found[1] == b"tagged" else b""
        asked = _CONDITION.search(head)
        if tag and asked and asked[1] == tag:
            return [b"HTTP/1.1 304 Not Modified\r\nETag: %s\r\n\r\n" % tag]
        line = b"ETag: %s\r\n" % tag if tag else b""
        return [
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n"
            % (line, len(body)),
            body,
        ]


async def serve(count: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Api(bodies(count)), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
