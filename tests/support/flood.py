"""A server that never comes to the end of its answer."""

import contextlib
import socket
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def flood(beginning: bytes, endlessly: bytes, *, pause: float = 0.0) -> Iterator[str]:
    """The URL of a server that sends `beginning`, then (after `pause` seconds) `endlessly` again and again,
    on each connection."""
    closing = threading.Event()
    threads: list[threading.Thread] = []
    block = endlessly * (1_000_000 // len(endlessly))

    def pour(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the client hangs up, as it should
            connection.settimeout(0.5)
            connection.recv(65536)
            connection.sendall(beginning)
            closing.wait(pause)
            while not closing.is_set():
                with contextlib.suppress(TimeoutError):
                    connection.send(block)

    def serve() -> None:
        while not closing.is_set():
            with contextlib.suppress(TimeoutError):
                threads.append(threading.Thread(target=pour, args=(listener.accept()[0],)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.settimeout(0.1)
        server = threading.Thread(target=serve)
        server.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            closing.set()
            for thread in (server, *threads):
                thread.join()
