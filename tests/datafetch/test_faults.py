"""A remote API that is nasty on purpose."""

import contextlib
import gzip
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest
from django.db.models.functions import Now

from apps.datafetch.models import Progress, Record
from apps.datafetch.tasks import read
from apps.events.models import Event
from tests.datafetch.support import (
    PAGINATIONS,
    RemoteApi,
    as_json,
    get,
    get_run,
    items,
    let_time_pass,
    make_stream,
    present,
    query_of,
    records,
    run,
)
from tests.support import Answer, ApiClient, Receiver
from tests.support.receiver import Received

pytestmark = pytest.mark.django_db

LINKS = PAGINATIONS["/links"]


def first_try(client: ApiClient, stream: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """The run after its first try, and for how many seconds it waits."""
    begun = client.post(f"/api/v1/streams/{stream['id']}/run", {}).json()
    read()
    wait = Progress.objects.annotate(now=Now()).get(pk=stream["id"])
    seconds = (wait.due_at - wait.now).total_seconds() if wait.due_at else 0.0
    return get_run(client, stream, begun["id"]), seconds


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again_at_the_same_page(
    someone: ApiClient, receiver: Receiver, status: int
) -> None:
    remote = RemoteApi(receiver, items(7))
    failing = iter([False, True, True, False, False])
    fail_in_between(receiver, "/links", remote._links, failing, Answer(status, b"busy"))
    stream = make_stream(someone, remote.url("/links"), **LINKS)

    ended = run(someone, stream)

    assert (ended["status"], ended["pages"], ended["requests"]) == ("succeeded", 3, 5)
    assert ended["error"] is None
    starts = [query.get("start", "0") for query in remote.queries("/links")]
    assert starts == ["0", "3", "3", "3", "6"]
    assert present(someone, stream) == remote.items


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_what_will_not_pass_is_not_tried_again(
    someone: ApiClient, receiver: Receiver, status: int
) -> None:
    receiver.answer("/", Answer(status, b'{"message": "no such thing"}'))
    stream = make_stream(someone, receiver.url("/"))

    ended = run(someone, stream)

    assert (ended["status"], ended["error"]["status"]) == ("failed", status)
    assert "no such thing" in ended["error"]["detail"]
    assert len(receiver.requests) == 1
    assert get(someone, stream)["health"] == "failing"


def test_a_run_that_never_gets_its_page_fails_and_keeps_what_it_has(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, items(7))
    fail_in_between(receiver, "/links", remote._links, iter([False]), Answer(503))
    stream = make_stream(someone, remote.url("/links"), **LINKS)

    ended = run(someone, stream)

    assert (ended["status"], ended["error"]["code"], ended["pages"]) == ("failed", "http_error", 1)
    assert ended["requests"] == 7
    assert present(someone, stream) == remote.items[:3]
    assert Record.objects.filter(change="deleted").count() == 0


@pytest.mark.parametrize("skew", [0, -86_400, 86_400])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_waited_for_whatever_the_clocks_say(
    someone: ApiClient, receiver: Receiver, form: str, skew: int
) -> None:
    theirs = datetime.now(UTC) + timedelta(seconds=skew)
    until = format_datetime(theirs + timedelta(seconds=120), usegmt=True)
    headers = {"Retry-After": "120" if form == "seconds" else until}

    receiver.answer("/", Answer(429, b"", headers), as_json(items(1)))
    skewed_date(receiver, theirs)
    stream = make_stream(someone, receiver.url("/"))

    waiting, seconds = first_try(someone, stream)

    assert waiting["status"] == "running"
    assert (waiting["error"]["code"], waiting["error"]["attempt"]) == ("rate_limited", 1)
    assert 110 < seconds <= 120
    let_time_pass()
    read()
    assert get_run(someone, stream, waiting["id"])["status"] == "succeeded"


def test_a_host_that_had_enough_is_left_alone_by_all_streams_of_the_account(
    someone: ApiClient, receiver: Receiver
) -> None:
    receiver.answer("/one", Answer(429, b"", {"Retry-After": "300"}))
    receiver.answer("/two", as_json(items(1)))
    one = make_stream(someone, receiver.url("/one"))
    two = make_stream(someone, receiver.url("/two"))

    first_try(someone, one)
    waiting, seconds = first_try(someone, two)

    assert waiting["status"] == "running"
    assert 200 < seconds <= 300
    assert receiver.at("/two") == []


def test_a_rate_limit_spaces_requests(someone: ApiClient, receiver: Receiver) -> None:
    remote = RemoteApi(receiver, items(7))
    stream = make_stream(someone, remote.url("/links"), rate_limit=5, **LINKS)

    run(someone, stream)

    times = [request.at for request in receiver.at("/links")]
    assert all(after - before > 0.15 for before, after in itertools.pairwise(times))


def test_a_slow_rate_limit_lets_others_have_the_worker(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, items(7))
    stream = make_stream(someone, remote.url("/links"), rate_limit=0.01, **LINKS)

    waiting, seconds = first_try(someone, stream)

    assert (waiting["status"], waiting["pages"]) == ("running", 1)
    assert 60 < seconds <= 100


@pytest.mark.parametrize(
    ("path", "config"),
    [
        ("/next", {"pagination": {"type": "next_link", "path": "next"}, "records_path": "results"}),
        ("/token", {"pagination": {"type": "cursor", "param": "c", "path": "next"}}),
    ],
)
def test_a_loop_of_pages_is_found(
    someone: ApiClient, receiver: Receiver, path: str, config: dict[str, Any]
) -> None:
    """Three pages that lead into one another again."""

    def answer(request: Received) -> Answer:
        number = int(query_of(request).get("c", 0))
        following = number % 3 + 1
        link = f"?c={following}" if path == "/next" else following
        return as_json({"results": [{"id": number}], "next": link})

    receiver.answer(path, answer)
    stream = make_stream(someone, receiver.url(path), **{"records_path": "results", **config})

    ended = run(someone, stream)

    assert (ended["status"], ended["error"]["code"]) == ("failed", "pagination_loop")
    assert len(receiver.requests) <= 5


def test_a_server_that_ignores_the_page_is_found(someone: ApiClient, receiver: Receiver) -> None:
    remote = RemoteApi(receiver, items(3))
    pagination = {"type": "offset", "param": "o", "limit_param": "l", "limit": 3}
    stream = make_stream(someone, remote.url("/all"), pagination=pagination)

    ended = run(someone, stream)

    assert (ended["status"], ended["error"]["code"]) == ("failed", "pagination_loop")
    assert len(receiver.requests) == 2


@pytest.mark.parametrize(
    ("next_link", "code"),
    [
        ("http://10.0.0.1/next", "address_not_allowed"),
        ("http://169.254.169.254/", "address_not_allowed"),
        ("file:///etc/passwd", "pagination_invalid"),
        ("http://user:password@127.0.0.1:8080/", "pagination_invalid"),
        (5, "pagination_invalid"),
        (["x"], "pagination_invalid"),
    ],
)
def test_a_next_link_passes_the_guard(
    someone: ApiClient, receiver: Receiver, next_link: Any, code: str
) -> None:
    receiver.answer("/", as_json({"results": items(1), "next": next_link}))
    stream = make_stream(someone, receiver.url("/"), **LINKS)

    ended = run(someone, stream)

    assert (ended["status"], ended["error"]["code"]) == ("failed", code)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(200, b"<html>Welcome</html>", {"Content-Type": "text/html"}), "not_json"),
        (Answer(200, b"", {"Content-Type": "application/json"}), "not_json"),
        (Answer(200, b'[{"id": 1},'), "not_json"),
        (Answer(200, b'\xff\xfe["'), "not_json"),
        (Answer(200, b'[{"id": "\\ud800"}]'), "not_json"),
        (Answer(200, b"[" * 100_000), "not_json"),
        (Answer(200, b"x", {"Content-Encoding": "br"}), "encoding_unknown"),
        (Answer(400, b"what\0ever \xff\xfe"), "http_error"),
        (Answer(302, b"", {"Location": "http://192.168.0.1/"}), "address_not_allowed"),
        (Answer(302, b"", {"Location": "gopher://x/"}), "redirect_invalid"),
        (Answer(302, b"", {"Location": "/"}), "too_many_redirects"),
    ],
)
def test_answers_that_are_none(
    someone: ApiClient, receiver: Receiver, answer: Answer, code: str
) -> None:
    receiver.answer("/", answer)
    stream = make_stream(someone, receiver.url("/"))

    ended = run(someone, stream)

    assert (ended["status"], ended["error"]["code"]) == ("failed", code)


@pytest.mark.parametrize("token", ["a\0b", "x" * 5000, "\n", {"a": 1}, True, 1.5])
def test_cursors_that_are_no_short_text_fail_the_run(
    someone: ApiClient, receiver: Receiver, token: Any
) -> None:
    receiver.answer("/", as_json({"results": items(1), "meta": {"next": token}}))
    stream = make_stream(someone, receiver.url("/"), **PAGINATIONS["/cursors"])

    ended = run(someone, stream)

    assert (ended["status"], ended["error"]["code"]) == ("failed", "pagination_invalid")


def test_json_under_a_wrong_content_type_is_read(someone: ApiClient, receiver: Receiver) -> None:
    receiver.answer("/", Answer(200, orjson.dumps(items(2)), {"Content-Type": "text/html"}))
    stream = make_stream(someone, receiver.url("/"))

    assert run(someone, stream)["records_new"] == 2


def test_a_gzip_bomb_is_refused(someone: ApiClient, receiver: Receiver) -> None:
    bomb = gzip.compress(b"[" + b" " * 40_000_000 + b"]", 1)
    receiver.answer("/", Answer(200, bomb, {"Content-Encoding": "gzip"}))
    stream = make_stream(someone, receiver.url("/"))

    ended = run(someone, stream)

    assert (ended["status"], ended["error"]["code"]) == ("failed", "answer_too_large")


def test_a_body_that_breaks_off_is_fetched_again(someone: ApiClient) -> None:
    whole = orjson.dumps(items(3))
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(whole)
    with in_turn(head + whole[:20], head, b"", head + whole) as url:
        stream = make_stream(someone, url)

        ended = run(someone, stream)

    assert (ended["status"], ended["requests"]) == ("succeeded", 4)
    assert present(someone, stream) == items(3)


def test_pages_that_shift_while_they_are_read_delete_nothing_that_is_there(
    someone: ApiClient, receiver: Receiver
) -> None:
    """The first record goes while the second page is about to be read: one slips to the page before."""
    remote = RemoteApi(receiver, items(9))
    stream = make_stream(someone, remote.url("/pages"), **PAGINATIONS["/pages"])
    run(someone, stream)
    asked = 0

    def shifting(request: Received) -> Answer:
        nonlocal asked
        asked += 1
        if asked == 2:
            del remote.items[0]
        return remote._pages(request)

    receiver.answer("/pages", shifting)

    ended = run(someone, stream)

    assert ended["records_deleted"] == 0
    assert "4" in {one["key"] for one in records(someone, stream)}
    assert [one["id"] for one in present(someone, stream)] == list(range(1, 10))
    ended = run(someone, stream)
    assert ended["records_deleted"] == 1
    assert present(someone, stream) == remote.items


def test_too_many_deletions_at_once_are_not_believed_without_being_asked(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, items(40))
    stream = make_stream(someone, remote.url("/all"))
    run(someone, stream)
    remote.items = remote.items[:10]

    held = run(someone, stream)
    believed = run(someone, stream, allow_deletes=True)

    assert (held["records_deleted"], held["deletes_held_back"]) == (0, 30)
    assert (believed["records_deleted"], believed["deletes_held_back"]) == (30, 0)
    assert present(someone, stream) == remote.items


def test_a_deleted_record_that_comes_back_is_new(someone: ApiClient, receiver: Receiver) -> None:
    remote = RemoteApi(receiver, items(3))
    stream = make_stream(someone, remote.url("/all"))
    run(someone, stream)
    gone = remote.items.pop()
    run(someone, stream)
    remote.items.append(gone)

    run(someone, stream)

    changes = [one["change"] for one in records(someone, stream) if one["key"] == "3"]
    assert changes == ["new", "deleted", "new"]
    assert get(someone, stream)["record_count"] == 3


def test_health_fails_and_recovers_and_says_so(someone: ApiClient, receiver: Receiver) -> None:
    receiver.answer("/", Answer(404), Answer(404), as_json(items(1)))
    stream = make_stream(someone, receiver.url("/"))
    seen = [get(someone, stream)["health"]]
    for _ in range(3):
        run(someone, stream)
        seen.append(get(someone, stream)["health"])

    assert seen == ["never_run", "failing", "failing", "ok"]
    assert event_types(stream) == [
        "stream.run_failed",
        "stream.failing",
        "stream.run_failed",
        "stream.run_succeeded",
        "stream.recovered",
    ]


def event_types(stream: dict[str, Any]) -> list[str]:
    return list(
        Event.objects.filter(subject=stream["id"])
        .order_by("sequence")
        .values_list("type", flat=True)
    )


def fail_in_between(
    receiver: Receiver,
    path: str,
    answer: Callable[[Received], Answer],
    failing: Iterator[bool],
    failure: Answer,
) -> None:
    """Fail where `failing` says so, and for ever after its end."""
    receiver.answer(path, lambda request: failure if next(failing, True) else answer(request))


def skewed_date(receiver: Receiver, moment: datetime) -> None:
    """Have the server's clock show `moment`."""
    handler = receiver._server.RequestHandlerClass
    handler.date_time_string = lambda *_: format_datetime(moment, usegmt=True)  # type: ignore[attr-defined]


@contextlib.contextmanager
def in_turn(*answers: bytes) -> Iterator[str]:
    """A server that answers each connection with the next of these bytes, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for answer in answers:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        thread.join(20)
        listener.close()
