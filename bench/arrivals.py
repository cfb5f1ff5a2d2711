"""A receiver that does not disturb what is measured: a process of its own notes when each request has come, and
answers. Signatures are verified afterwards, in the process that asks."""

import asyncio
import multiprocessing
import re
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from standardwebhooks import Webhook

from sandbox.receiver import Received

_LENGTH = re.compile(rb"(?i)content-length: *(\d+)")


class Noting(asyncio.Protocol):
    """Answers 204 to each request, which must have a Content-Length, and then tells of it."""

    def __init__(self, told: Connection) -> None:
        self._told = told
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._buffer, 0, end)
            size = end + 4 + int(length[1] if length else 0)
            if len(self._buffer) < size:
                return
            at = time.perf_counter()  # of the machine, so the same in every process
            request, self._buffer = self._buffer[:size], self._buffer[size:]
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            self._told.send((at, request))


def _serve(told: Connection) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Noting(told), "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


class Receiver:
    """As sandbox.receiver.Receiver, apart from the process that it is in."""

    def __init__(self) -> None:
        self._secrets: dict[str, str] = {}
        self._requests: list[tuple[float, bytes]] = []
        self._verified: list[Received] = []
        self._arrived = threading.Condition()

    def __enter__(self) -> "Receiver":
        context = multiprocessing.get_context("spawn")
        self._heard, told = context.Pipe(duplex=False)
        self._process = context.Process(target=_serve, args=(told,), daemon=True)
        self._process.start()
        told.close()
        self._port = self._heard.recv()
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._port}{path}"

    def trust(self, path: str, secret: str) -> None:
        """Expect what comes to `path` to be signed with `secret` (`whsec_…`)."""
        self._secrets[path] = secret

    @property
    def count(self) -> int:
        """How many have come, verified or not."""
        return len(self._requests)

    @property
    def received(self) -> list[Received]:
        """The requests so far; an error when one is not signed as it should be."""
        for at, request in self._requests[len(self._verified) :]:
            self._verified.append(self._verify(at, request))
        return list(self._verified)

    def wait_for(self, wanted: Callable[[Received], bool], seconds: float) -> Received | None:
        """The first request that `wanted` accepts; None when none came in time."""
        deadline, seen = time.monotonic() + seconds, 0
        while True:
            calls = self.received
            for call in calls[seen:]:
                if wanted(call):
                    return call
            seen = len(calls)
            with self._arrived:
                if self.count == seen and not self._arrived.wait(deadline - time.monotonic()):
                    return None

    def _listen(self) -> None:
        while True:
            try:
                request = self._heard.recv()
            except EOFError:
                return
            with self._arrived:
                self._requests.append(request)
                self._arrived.notify_all()

    def _verify(self, at: float, request: bytes) -> Received:
        head, _, raw = request.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        path = first.split(" ")[1]
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = Webhook(self._secrets[path]).verify(raw, headers)
        return Received(path=path, body=body, headers=headers, at=at)
