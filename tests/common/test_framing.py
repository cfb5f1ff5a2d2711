"""Bodies that would be overlooked, and paths that cannot be looked up, are refused."""

import http.client
import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import pytest
from django.core.wsgi import get_wsgi_application
from django.test import Client, override_settings

from tests.conftest import MakeClient
from tests.support.problems import assert_problem


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    """A real server: Django's test client always sends a length."""
    server = _Server(("127.0.0.1", 0), _Quiet)
    server.set_app(get_wsgi_application())
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    with override_settings(ALLOWED_HOSTS=["*"]):
        yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.django_db(transaction=True)
def test_a_chunked_body_is_not_taken_for_an_empty_one(port: int, api: MakeClient) -> None:
    client = api()
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        # The head alone: what is sent after the refusal would meet a closed connection.
        connection.putrequest("PATCH", "/api/v1/me")
        connection.putheader("X-API-Key", client.plain_key)
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        answer = connection.getresponse()

        assert answer.status == 411
        assert b'"length_required"' in answer.read()


def test_a_compressed_body_is_refused(api: MakeClient) -> None:
    answer = api().patch("/api/v1/me", b"\x1f\x8b", headers={"Content-Encoding": "gzip"})

    assert_problem(answer, 415, "unsupported_content_encoding")


@pytest.mark.django_db
def test_nothing_is_at_a_path_with_a_nul() -> None:
    for path in ("/admin/events/consumer/%00/change/", "/api/v1/products/by-sku/%00", "/%00"):
        assert Client().get(path).status_code == 404
