"""Load from one process: connections that ask again as soon as they are answered, or at a fixed rate."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

CONNECTIONS = 16


class Run(NamedTuple):
    """Seconds that each call took, and the seconds that all of them took."""

    latencies: list[float]
    seconds: float

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds


class Call(NamedTuple):
    """One call of the API, below /api/v1; every answer must be 2xx."""

    method: str
    path: str
    body: Any


class Connection:
    """One connection, kept open, that knows no more of HTTP than this takes."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self._address = urlsplit(base_url)
        self._head = (
            f" HTTP/1.1\r\nHost: {self._address.netloc}\r\nX-API-Key: {api_key}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )

    async def __aenter__(self) -> "Connection":
        address = self._address
        self._reader, self._writer = await asyncio.open_connection(address.hostname, address.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def ask(self, call: Call) -> None:
        """SystemExit, with the answer, when it is not 2xx."""
        body = orjson.dumps(call.body)
        head = f"{call.method} /api/v1{call.path}{self._head}{len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
        content = await self._reader.readexactly(int(length[1]) if length else 0)
        if not answer.startswith(b"HTTP/1.1 2"):
            raise SystemExit(f"{answer.decode()}{content.decode()}")


async def closed_loop(url: str, key: str, seconds: float, make: Callable[[], Call]) -> Run:
    """What `make` makes, over CONNECTIONS connections, for so many seconds."""
    latencies: list[float] = []
    started = time.perf_counter()
    end = started + seconds

    async def work() -> None:
        async with Connection(url, key) as connection:
            while (sent := time.perf_counter()) < end:
                await connection.ask(make())
                latencies.append(time.perf_counter() - sent)

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return Run(latencies, time.perf_counter() - started)


async def open_loop(
    url: str, key: str, seconds: float, rate: float, make: Callable[[], Call]
) -> Run:
    """So many calls a second, whether answers come or not; a call's time begins when it was due."""
    latencies: list[float] = []
    started = time.perf_counter()
    due = iter(started + n / rate for n in range(int(seconds * rate)))

    async def work() -> None:
        async with Connection(url, key) as connection:
            for at in due:
                await asyncio.sleep(at - time.perf_counter())
                await connection.ask(make())
                latencies.append(time.perf_counter() - at)

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return Run(latencies, time.perf_counter() - started)
