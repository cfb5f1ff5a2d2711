"""Every way of getting from one page to the next, and what is stored of what is found."""

from typing import Any

import pytest

from tests.datafetch.support import (
    PAGINATIONS,
    RemoteApi,
    as_json,
    get,
    items,
    make_stream,
    present,
    records,
    run,
)
from tests.support import ApiClient, Receiver

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("n", [0, 1, 3, 7, 9])
@pytest.mark.parametrize("path", PAGINATIONS)
def test_every_pagination_reads_all_of_it(
    someone: ApiClient, receiver: Receiver, path: str, n: int
) -> None:
    remote = RemoteApi(receiver, items(n))
    stream = make_stream(someone, remote.url(path), **PAGINATIONS[path])

    ended = run(someone, stream)

    assert (ended["status"], ended["records_new"], ended["error"]) == ("succeeded", n, None)
    assert [one["data"] for one in records(someone, stream)] == remote.items
    assert [one["offset"] for one in records(someone, stream)] == list(range(1, n + 1))
    assert {one["change"] for one in records(someone, stream)} <= {"new"}
    assert ended["pages"] == len(receiver.at(path)) == ended["requests"]
    shown = get(someone, stream)
    assert (shown["record_count"], shown["last_offset"], shown["health"]) == (n, n, "ok")


@pytest.mark.parametrize("path", PAGINATIONS)
def test_a_second_run_finds_what_has_changed(
    someone: ApiClient, receiver: Receiver, path: str
) -> None:
    remote = RemoteApi(receiver, items(7))
    stream = make_stream(someone, remote.url(path), **PAGINATIONS[path])
    run(someone, stream)
    remote.items[1]["name"] = "another name"
    remote.items.append({"id": 8, "name": "new"})
    del remote.items[4]

    ended = run(someone, stream)

    assert (ended["records_new"], ended["records_changed"], ended["records_deleted"]) == (1, 1, 1)
    versions = records(someone, stream, after=7)
    assert [one["offset"] for one in versions] == [8, 9, 10]
    assert {(one["key"], one["change"]) for one in versions} == {
        ("2", "changed"),
        ("8", "new"),
        ("5", "deleted"),
    }
    assert present(someone, stream) == remote.items
    assert get(someone, stream)["record_count"] == 7


@pytest.mark.parametrize("path", PAGINATIONS)
def test_an_unchanged_source_makes_no_version(
    someone: ApiClient, receiver: Receiver, path: str
) -> None:
    remote = RemoteApi(receiver, items(7))
    stream = make_stream(someone, remote.url(path), **PAGINATIONS[path])
    run(someone, stream)

    ended = run(someone, stream)

    assert (ended["records_unchanged"], ended["records_new"], ended["records_changed"]) == (7, 0, 0)
    assert get(someone, stream)["last_offset"] == 7


def test_page_numbers_begin_and_end_as_configured(someone: ApiClient, receiver: Receiver) -> None:
    remote = RemoteApi(receiver, items(4))
    pagination = {
        "type": "page_number",
        "param": "page",
        "start": 1,
        "size_param": "size",
        "size": 2,
    }
    stream = make_stream(
        someone, remote.url("/pages"), pagination=pagination, records_path="results"
    )

    run(someone, stream)

    asked = remote.queries("/pages")
    assert asked == [{"page": str(page), "size": "2"} for page in (1, 2, 3)]
    assert present(someone, stream) == remote.items


def test_parameters_and_headers_are_sent_with_each_page(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, items(4))
    stream = make_stream(
        someone,
        remote.url("/pages?fixed=1&page=overridden"),
        params={"state": "open & shut"},
        headers={"X-Team": "a"},
        **PAGINATIONS["/pages"],
    )

    run(someone, stream)

    assert remote.queries("/pages")[1] == {"fixed": "1", "page": "2", "state": "open & shut"}
    assert {one.headers["X-Team"] for one in receiver.requests} == {"a"}


@pytest.mark.parametrize(
    ("primary_key", "keys"),
    [("id", ["1"]), (["id", "name"], ['[1,"one"]']), ("nested.code", ["x"]), ("name", ["one"])],
)
def test_keys(someone: ApiClient, receiver: Receiver, primary_key: Any, keys: list[str]) -> None:
    RemoteApi(receiver, [{"id": 1, "name": "one", "nested": {"code": "x"}}])
    stream = make_stream(someone, receiver.url("/all"), primary_key=primary_key)

    run(someone, stream)

    assert [one["key"] for one in records(someone, stream)] == keys


def test_without_a_primary_key_content_tells_records_apart(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, [{"b": 1, "a": 2}, {"a": 2, "b": 1}, {"a": 3}])
    stream = make_stream(someone, remote.url("/all"), primary_key=None)
    run(someone, stream)
    remote.items[2]["a"] = 4

    ended = run(someone, stream)

    assert ended["records_new"] == ended["records_deleted"] == 1
    assert [one["change"] for one in records(someone, stream)] == ["new", "new", "new", "deleted"]


def test_a_record_that_two_pages_have_stands_for_no_other(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, items(5))
    stream = make_stream(someone, remote.url("/links"), **PAGINATIONS["/links"])
    run(someone, stream)
    remote.items[4] = remote.items[0]

    ended = run(someone, stream)

    assert (ended["records_new"], ended["records_deleted"]) == (0, 1)
    assert [one["id"] for one in present(someone, stream)] == [1, 2, 3, 4]


def test_of_duplicates_on_a_page_the_last_counts(someone: ApiClient, receiver: Receiver) -> None:
    RemoteApi(receiver, [{"id": 1, "v": "a"}, {"id": 2}, {"id": 1, "v": "b"}])
    stream = make_stream(someone, receiver.url("/all"))

    run(someone, stream)

    assert present(someone, stream) == [{"id": 1, "v": "b"}, {"id": 2}]
    assert len(records(someone, stream)) == 2


def test_a_mapping_makes_the_record(someone: ApiClient, receiver: Receiver) -> None:
    RemoteApi(receiver, [{"id": 1, "price": {"amount": 5}, "tags": ["a", "b"]}])
    mapping = {"number": "id", "amount": "price.amount", "tags": "join(',', tags)", "gone": "nope"}
    stream = make_stream(someone, receiver.url("/all"), mapping=mapping, primary_key="number")

    run(someone, stream)

    (record,) = records(someone, stream)
    assert record["data"] == {"number": 1, "amount": 5, "tags": "a,b", "gone": None}
    assert record["key"] == "1"


def test_whatever_json_holds_comes_back_as_it_was(someone: ApiClient, receiver: Receiver) -> None:
    strange = {
        "id": "a\tb\nc\\d\r\u2028'\"",
        "text": "\\N \\. \0 \t \n \\\\ ü 😀",
        "numbers": [0, -1, 1.5, 1e300, 2**63, 2**64 - 1, -(2**63)],
        "deep": {"a": [{"b": [None, True, False, {}]}]},
        "": "an empty name",
    }
    RemoteApi(receiver, [strange])
    stream = make_stream(someone, receiver.url("/all"))

    run(someone, stream)

    (record,) = records(someone, stream)
    assert record["data"] == strange
    assert record["key"] == strange["id"]


def test_records_that_do_not_fit_are_rejected_one_by_one(
    someone: ApiClient, receiver: Receiver
) -> None:
    fit = {"id": 1}
    RemoteApi(receiver, [fit, 5, None, [], {"name": "no key"}, {"id": "x" * 600}, {"id": "\0"}])
    stream = make_stream(someone, receiver.url("/all"))

    ended = run(someone, stream)

    assert (ended["status"], ended["records_rejected"]) == ("succeeded", 6)
    assert present(someone, stream) == [fit]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"results": {"data": [{"id": 1}]}}, "results.data"),
        ({"a": [{"b": {"id": 1}}]}, "a[].b"),
        ({"only": {"id": 1}}, "only"),
        ({"rows": None}, "rows"),
    ],
)
def test_records_are_found_at_their_path(
    someone: ApiClient, receiver: Receiver, body: Any, path: str
) -> None:
    receiver.answer("/", as_json(body))
    stream = make_stream(someone, receiver.url("/"), records_path=path)

    ended = run(someone, stream)

    assert ended["status"] == "succeeded"
    assert present(someone, stream) == ([] if path == "rows" else [{"id": 1}])


@pytest.mark.parametrize("body", [{"other": []}, {"rows": 5}, {"rows": "text"}, 7, "x", None])
def test_a_page_without_records_where_they_should_be_fails_the_run(
    someone: ApiClient, receiver: Receiver, body: Any
) -> None:
    """Rather than that all records count as deleted."""
    receiver.answer("/", as_json({"rows": items(2)}), as_json(body))
    stream = make_stream(someone, receiver.url("/"), records_path="rows")
    run(someone, stream)

    ended = run(someone, stream)

    assert (ended["status"], ended["error"]["code"]) == ("failed", "records_not_found")
    assert present(someone, stream) == items(2)
