"""Asking whether anything has changed at all, and reading only what is newer."""

import gzip
import hashlib
from typing import Any

import orjson
import pytest

from apps.datafetch.models import Page, Record
from tests.datafetch.support import (
    PAGINATIONS,
    RemoteApi,
    as_json,
    items,
    make_stream,
    present,
    query_of,
    records,
    run,
)
from tests.support import Answer, ApiClient, Receiver
from tests.support.receiver import Received

pytestmark = pytest.mark.django_db


def with_validators(answer: Answer, request: Received, header: str) -> Answer:
    """`answer` with an ETag or Last-Modified of its body, or 304."""
    tag = f'W/"{hashlib.sha256(answer.body).hexdigest()}"'
    if header == "Last-Modified":
        tag = f"Mon, 01 Jan 2024 00:00:00 GMT; {tag[3:9]}"
    condition = "If-None-Match" if header == "ETag" else "If-Modified-Since"
    if request.headers[condition] == tag:
        return Answer(304, b"", {header: tag})
    return Answer(200, answer.body, {**answer.headers, header: tag})


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
@pytest.mark.parametrize("path", PAGINATIONS)
def test_an_unchanged_source_sends_nothing_and_nothing_is_written(
    someone: ApiClient, receiver: Receiver, path: str, header: str
) -> None:
    remote = RemoteApi(receiver, items(7))
    plain = getattr(remote, f"_{path[1:]}")
    receiver.answer(path, lambda request: with_validators(plain(request), request, header))
    stream = make_stream(someone, remote.url(path), **PAGINATIONS[path])
    first = run(someone, stream)
    before = list(Record.objects.order_by("offset").values())

    second = run(someone, stream)

    assert (second["status"], second["records_unchanged"]) == ("succeeded", 7)
    assert second["requests"] == first["requests"]
    assert second["bytes"] < first["bytes"]
    assert list(Record.objects.order_by("offset").values()) == before


def test_a_digest_of_the_version_before_costs_a_look_and_no_version(
    someone: ApiClient, receiver: Receiver
) -> None:
    """It was SHA-256 of the body (docs/adr/0049)."""
    remote = RemoteApi(receiver, items(7))
    stream = make_stream(someone, remote.url("/links"), **PAGINATIONS["/links"])
    run(someone, stream)
    before = list(Record.objects.order_by("offset").values())
    pages = list(Page.objects.filter(stream=stream["id"]).order_by("number"))
    for page in pages:
        body = gzip.decompress(bytes(page.body or b""))
        Page.objects.filter(pk=page.pk).update(digest=hashlib.sha256(body).digest()[:16])

    again = run(someone, stream)

    assert (again["status"], again["records_unchanged"], again["records_changed"]) == (
        "succeeded",
        7,
        0,
    )
    assert list(Record.objects.order_by("offset").values()) == before
    digests = Page.objects.filter(stream=stream["id"]).order_by("number").values_list("digest")
    assert [bytes(digest) for (digest,) in digests] == [bytes(page.digest) for page in pages]


@pytest.mark.parametrize("header", ["ETag", "none"])
def test_what_was_rejected_of_an_unchanged_page_is_rejected_still(
    someone: ApiClient, receiver: Receiver, header: str
) -> None:
    remote = RemoteApi(receiver, items(7))
    remote.items[1] = remote.items[5] = {"name": "without a key"}
    receiver.answer(
        "/links",
        lambda request: (
            with_validators(remote._links(request), request, header)
            if header == "ETag"
            else remote._links(request)
        ),
    )
    stream = make_stream(someone, remote.url("/links"), **PAGINATIONS["/links"])
    first = run(someone, stream)
    assert (first["records_new"], first["records_rejected"]) == (5, 2)

    for _ in range(2):
        again = run(someone, stream)

        assert (again["records_new"], again["records_changed"]) == (0, 0)
        assert (again["records_unchanged"], again["records_rejected"]) == (5, 2)


def test_of_several_pages_only_the_changed_one_is_sent(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, items(7))
    statuses: list[int] = []

    def answer(request: Received) -> Answer:
        answer = with_validators(remote._links(request), request, "ETag")
        statuses.append(answer.status)
        return answer

    receiver.answer("/links", answer)
    stream = make_stream(someone, remote.url("/links"), **PAGINATIONS["/links"])
    run(someone, stream)
    remote.items[3]["name"] = "changed"
    statuses.clear()

    ended = run(someone, stream)

    assert statuses == [304, 200, 304]
    assert (ended["records_changed"], ended["records_unchanged"]) == (1, 6)
    assert present(someone, stream) == remote.items


def test_a_page_that_comes_back_after_its_records_were_deleted_is_read_again(
    someone: ApiClient, receiver: Receiver
) -> None:
    """Its ETag is the old one; believing a 304 would lose its records."""
    remote = RemoteApi(receiver, items(7))
    receiver.answer("/links", lambda r: with_validators(remote._links(r), r, "ETag"))
    stream = make_stream(someone, remote.url("/links"), **PAGINATIONS["/links"])
    run(someone, stream)
    whole = list(remote.items)
    remote.items = whole[:6]
    run(someone, stream)
    assert present(someone, stream) == whole[:6]
    remote.items = whole

    run(someone, stream)

    assert present(someone, stream) == whole


def test_a_new_mapping_is_applied_although_the_source_is_unchanged(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, items(3))
    receiver.answer("/all", lambda r: with_validators(remote._all(r), r, "ETag"))
    stream = make_stream(someone, remote.url("/all"))
    run(someone, stream)

    someone.patch(f"/api/v1/streams/{stream['id']}", {"mapping": {"id": "id", "title": "name"}})
    ended = run(someone, stream)

    assert ended["records_changed"] == 3
    assert present(someone, stream)[0] == {"id": 1, "title": "item 1"}


def test_absurd_validators_are_not_sent_back(someone: ApiClient, receiver: Receiver) -> None:
    receiver.answer("/", Answer(200, b"[]", {"ETag": '"' + "x" * 2000 + '"'}))
    stream = make_stream(someone, receiver.url("/"))

    for _ in range(2):
        assert run(someone, stream)["status"] == "succeeded"

    assert receiver.requests[1].headers["If-None-Match"] is None


@pytest.mark.parametrize(
    ("values", "lookback", "asked"),
    [
        (["2026-01-01T10:00:00Z", "2026-01-02T10:00:00Z"], 0, "2026-01-02T10:00:00Z"),
        (["2026-01-02T10:00:00Z", "2026-01-01T10:00:00Z"], 60, "2026-01-02T09:59:00Z"),
        (["2026-01-01T23:00:00-05:00", "2026-01-02T01:00:00Z"], 0, "2026-01-01T23:00:00-05:00"),
        (["2026-01-02T10:00:00.250Z"], 1, "2026-01-02T09:59:59.250Z"),
        (["2026-01-02 10:00:00"], 3600, "2026-01-02 09:00:00"),
        (["2026-01-02"], 86_400, "2026-01-01"),
        ([1_760_000_000, 1_760_000_900], 300, "1760000600"),
        ([1_760_000_000_000], 300, "1759999700000"),
        (["a10", "a9"], 60, "a9"),
        ([5, None, "x", 7.5], 0, "7.5"),
        (["a\0b", "b" * 5000, "", {"c": 1}, True, "a"], 0, "a"),
    ],
)
def test_the_next_run_asks_for_what_is_newer(
    someone: ApiClient, receiver: Receiver, values: list[Any], lookback: int, asked: str
) -> None:
    found = [{"id": number, "at": value} for number, value in enumerate(values)]
    receiver.answer("/", as_json(found))
    cursor = {"field": "at", "param": "since", "lookback_seconds": lookback}
    stream = make_stream(someone, receiver.url("/"), cursor=cursor)

    run(someone, stream)
    run(someone, stream)

    first, second = (query_of(request) for request in receiver.requests)
    assert "since" not in first
    assert second["since"] == asked


def test_incremental_reading_deletes_nothing_and_a_full_refresh_does(
    someone: ApiClient, receiver: Receiver
) -> None:
    found = [{"id": number, "at": number} for number in range(1, 6)]

    def answer(request: Received) -> Answer:
        since = int(query_of(request).get("since", 0))
        return as_json([one for one in found if one["at"] >= since])

    receiver.answer("/", answer)
    cursor = {"field": "at", "param": "since", "initial": 2}
    stream = make_stream(someone, receiver.url("/"), cursor=cursor)
    assert run(someone, stream)["records_new"] == 4
    del found[2]
    found.append({"id": 6, "at": 6})

    incremental = run(someone, stream)
    full = run(someone, stream, full_refresh=True)

    assert (incremental["records_new"], incremental["records_deleted"]) == (1, 0)
    assert (full["full_refresh"], full["records_deleted"]) == (True, 1)
    assert [query_of(one)["since"] for one in receiver.requests] == ["2", "5", "2"]
    assert [one["key"] for one in records(someone, stream)] == ["2", "3", "4", "5", "6", "3"]


def test_a_failed_run_does_not_move_the_cursor(someone: ApiClient, receiver: Receiver) -> None:
    receiver.answer(
        "/",
        as_json({"results": [{"id": 1, "at": 9}], "next": "?page=2"}),
        Answer(404),
        as_json({"results": [], "next": None}),
    )
    cursor = {"field": "at", "param": "since"}
    stream = make_stream(someone, receiver.url("/"), cursor=cursor, **PAGINATIONS["/links"])
    assert run(someone, stream)["status"] == "failed"

    run(someone, stream)

    assert "since" not in query_of(receiver.requests[-1])


def test_raw_bodies_are_kept_for_a_time(someone: ApiClient, receiver: Receiver) -> None:
    remote = RemoteApi(receiver, items(7))
    stream = make_stream(someone, remote.url("/links"), **PAGINATIONS["/links"])

    run(someone, stream)

    pages = Page.objects.filter(stream=stream["id"]).order_by("number")
    bodies = [orjson.loads(gzip.decompress(bytes(page.body or b""))) for page in pages]
    assert [one for body in bodies for one in body["results"]] == remote.items


@pytest.mark.parametrize("changes", [{}, {"cursor": None}])
def test_a_full_refresh_finds_what_incremental_runs_have_stored(
    someone: ApiClient, receiver: Receiver, changes: dict[str, Any]
) -> None:
    """Their pages are unchanged, and so is all that was on them."""
    remote = RemoteApi(receiver, items(9, at="2026-01-01"))
    cursor = {"field": "at", "param": "since", "initial": "2026-01-01"}
    stream = make_stream(someone, remote.url("/links"), cursor=cursor, **PAGINATIONS["/links"])
    run(someone, stream)
    someone.patch(f"/api/v1/streams/{stream['id']}", changes)

    for _ in range(2):
        ended = run(someone, stream, full_refresh=True, allow_deletes=True)

        assert (ended["records_unchanged"], ended["records_deleted"]) == (9, 0)
    assert len(present(someone, stream)) == 9
