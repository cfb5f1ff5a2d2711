"""Records as pages, lines, spreadsheets and Parquet, at present and as they were."""

import csv
import io
import tracemalloc
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.db import connection
from pyarrow import parquet

from apps.common import clock
from apps.datafetch import limits, selectors
from apps.datafetch.api.exports import ndjson
from apps.datafetch.api.representations.records import record_object
from apps.datafetch.models import Record, Stream
from tests.datafetch.support import RemoteApi, items, make_stream, records, run
from tests.support import ApiClient, Receiver
from tests.support.problems import assert_problem

pytestmark = pytest.mark.django_db(transaction=True)

NDJSON = "application/x-ndjson"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"


def read_file(client: ApiClient, stream: dict[str, Any], accept: str, **query: Any) -> bytes:
    answer = client.get(path_of(stream), headers={"Accept": accept}, **query)
    assert answer.status_code == 200, answer.getvalue()
    assert answer.headers["Content-Type"].partition(";")[0] == accept
    content: bytes = answer.getvalue()
    return content


def path_of(stream: dict[str, Any]) -> str:
    return f"/api/v1/streams/{stream['id']}/records"


def lines(client: ApiClient, stream: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in read_file(client, stream, NDJSON, **query).splitlines()]


def rows(client: ApiClient, stream: dict[str, Any], **query: Any) -> list[dict[str, str]]:
    text = read_file(client, stream, CSV, **query).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def table(client: ApiClient, stream: dict[str, Any], **query: Any) -> Any:
    return parquet.read_table(io.BytesIO(read_file(client, stream, PARQUET, **query)))


def fetched(client: ApiClient, receiver: Receiver, found: list[Any], **more: Any) -> dict[str, Any]:
    """A stream that has read these items."""
    remote = RemoteApi(receiver, found)
    stream = make_stream(client, remote.url("/all"), **more)
    assert run(client, stream)["status"] == "succeeded"
    return stream


def add_records(stream: dict[str, Any], count: int) -> None:
    """Straight into the table: this is about reading them."""
    of, now = Stream.objects.get(pk=stream["id"]), clock.now()
    Record.objects.bulk_create(
        Record(
            stream=of,
            offset=number,
            key=str(number),
            change="new",
            hash=b"",
            data=f'{{"id":{number},"text":"{"x" * 200}"}}',
            run_id=of.id,
            fetched_at=now,
        )
        for number in range(1, count + 1)
    )
    of.progress.last_offset = count
    of.progress.save()


def test_lines_are_the_records_of_the_list_all_of_them(
    someone: ApiClient, receiver: Receiver
) -> None:
    stream = fetched(someone, receiver, items(450))

    listed = records(someone, stream)

    assert lines(someone, stream) == listed
    assert len(listed) == 450
    assert lines(someone, stream, after=440) == listed[440:]
    assert lines(someone, stream, after=3, limit=2) == listed[3:5]
    assert lines(someone, stream, after=450) == []


def test_lines_have_the_bytes_of_the_list_whatever_is_in_a_key(
    someone: ApiClient, receiver: Receiver
) -> None:
    characters = "".join(map(chr, range(1, 0x180))) + "\u2028\u2029\ufeff\uffff😀"
    keys = [characters[start : start + 100] for start in range(0, len(characters), 100)]
    found = [{"id": key, "text": key, "n": 1.5, "none": None} for key in ["a", "%s", "{}", *keys]]
    stream = fetched(someone, receiver, found)

    versions = selectors.next_records(
        selectors.records(Stream.objects.get(pk=stream["id"])), after=0, most=100
    )

    assert len(versions) == len(found)
    assert read_file(someone, stream, NDJSON) == b"".join(
        orjson.dumps(record_object(one, orjson.Fragment(one.data))) + b"\n" for one in versions
    )


def test_a_page_of_json_is_bounded_and_leads_to_the_next(
    someone: ApiClient, receiver: Receiver
) -> None:
    stream = fetched(someone, receiver, items(7))

    first = someone.get(path_of(stream), limit=3).json()
    last = someone.get(path_of(stream), after=4, limit=3).json()

    assert [one["offset"] for one in first["results"]] == [1, 2, 3]
    assert [one["offset"] for one in someone.get(first["next"]).json()["results"]] == [4, 5, 6]
    assert (len(last["results"]), last["next"]) == (3, None)
    assert_problem(someone.get(path_of(stream), limit=201), 400, "invalid")
    assert_problem(someone.get(path_of(stream), after="१"), 400, "invalid")


def test_a_page_of_large_records_ends_early_and_none_is_lost(
    someone: ApiClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "CHUNK_BYTES", 5000)
    found = [{"id": number, "text": "x" * size} for number, size in enumerate((10, 4000, 9000, 5))]
    stream = fetched(someone, receiver, found)

    first = someone.get(path_of(stream)).json()

    assert [one["offset"] for one in first["results"]] == [1, 2]
    assert [one["data"] for one in records(someone, stream)] == found
    assert [one["data"] for one in lines(someone, stream)] == found


def test_a_spreadsheet_has_a_column_for_each_field(someone: ApiClient, receiver: Receiver) -> None:
    found = [
        {"id": 1, "name": 'Tea, "Earl Grey"\nloose', "tags": ["a", "b"], "paid": True},
        {"id": 2, "price": -1.5, "offset": "theirs", "none": None},
    ]
    stream = fetched(someone, receiver, found)

    one, two = rows(someone, stream)

    assert (one["offset"], one["key"], one["change"]) == ("1", "1", "new")
    assert one["name"] == found[0]["name"]
    assert (one["tags"], one["paid"], one["price"]) == ('["a","b"]', "true", "")
    assert (two["id"], two["price"], two["data_offset"], two["name"]) == ("2", "-1.5", "theirs", "")
    assert one["fetched_at"] == records(someone, stream)[0]["fetched_at"]


def test_no_cell_is_a_formula(someone: ApiClient, receiver: Receiver) -> None:
    evil = {"id": "=1+1", "=cmd()": "@SUM(1)", "b": "+1", "c": "-2", "d": "\t=3", "e": "a=b"}
    stream = fetched(someone, receiver, [evil])

    (row,) = rows(someone, stream)

    assert (row["key"], row["id"], row["'=cmd()"]) == ("'=1+1", "'=1+1", "'@SUM(1)")
    assert [row[name] for name in "bcde"] == ["'+1", "'-2", "'\t=3", "a=b"]


def test_parquet_has_typed_columns(someone: ApiClient, receiver: Receiver) -> None:
    found = [
        {"id": 1, "name": "one", "price": 2, "paid": True, "tags": [1], "mixed": "x"},
        {"id": 2**62, "name": None, "price": 2.5, "mixed": 7, "huge": 2**63},
    ]
    stream = fetched(someone, receiver, found)

    read = table(someone, stream)

    assert read["offset"].to_pylist() == [1, 2]
    assert read["id"].to_pylist() == [1, 2**62]
    assert read["name"].to_pylist() == ["one", None]
    assert read["price"].to_pylist() == [2.0, 2.5]
    assert read["paid"].to_pylist() == [True, None]
    assert read["tags"].to_pylist() == ["[1]", None]
    assert read["mixed"].to_pylist() == ['"x"', "7"]
    assert read["huge"].to_pylist() == [None, float(2**63)]
    types = {field.name: str(field.type) for field in read.schema}
    assert types["fetched_at"] == "timestamp[us, tz=UTC]"
    assert (types["id"], types["price"], types["paid"]) == ("int64", "double", "bool")


@pytest.mark.parametrize("accept", [CSV, PARQUET, NDJSON])
def test_a_stream_that_has_nothing_is_a_whole_file_too(
    someone: ApiClient, receiver: Receiver, accept: str
) -> None:
    stream = make_stream(someone, receiver.url("/nothing"))

    content = read_file(someone, stream, accept)

    if accept == PARQUET:
        assert parquet.read_table(io.BytesIO(content)).num_rows == 0
    else:
        assert content == (b"offset,key,change,fetched_at\r\n" if accept == CSV else b"")


def test_another_kind_of_answer_is_refused(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, receiver.url("/nothing"))

    answer = someone.get(path_of(stream), headers={"Accept": "application/xml"})

    assert_problem(answer, 406, "not_acceptable")
    for accept in ("*/*", "text/html, */*;q=0.1", "application/json"):
        chosen = someone.get(path_of(stream), headers={"Accept": accept})
        assert chosen.headers["Content-Type"] == "application/json"


def test_what_was_there_at_a_time(someone: ApiClient, receiver: Receiver) -> None:
    remote = RemoteApi(receiver, items(4))
    stream = make_stream(someone, remote.url("/all"))
    before = clock.now()
    run(someone, stream)
    first = clock.now()
    remote.items[0]["name"] = "changed"
    del remote.items[2]
    run(someone, stream)
    second = clock.now()

    def names(moment: Any) -> list[str]:
        found = someone.get(path_of(stream), as_of=moment.isoformat()).json()["results"]
        assert found == lines(someone, stream, as_of=moment.isoformat())
        return [one["data"]["name"] for one in found]

    assert names(before) == []
    assert names(first) == ["item 1", "item 2", "item 3", "item 4"]
    assert names(second) == ["item 2", "item 4", "changed"]
    page = someone.get(path_of(stream), as_of=first.isoformat(), limit=3).json()
    assert [one["key"] for one in someone.get(page["next"]).json()["results"]] == ["4"]
    long_ago = (first - timedelta(days=31)).isoformat()
    assert_problem(someone.get(path_of(stream), as_of=long_ago), 400, "invalid")


def test_memory_does_not_grow_with_the_records(
    someone: ApiClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "CHUNK_RECORDS", 100)
    stream = make_stream(someone, receiver.url("/nothing"))
    add_records(stream, 6000)
    of = Stream.objects.get(pk=stream["id"])

    def peak(count: int) -> int:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        chunks = selectors.lines_in_chunks(selectors.records(of), after=0, most=count)
        seen = sum(part.count(b"\n") for part in ndjson(chunks, {}))
        _, most = tracemalloc.get_traced_memory()
        assert seen == count
        return most - before

    tracemalloc.start()
    try:
        # What is imported and remembered once: psycopg, for one, keeps the last hundred statements.
        peak(6000)

        assert peak(6000) < 1.5 * peak(600)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("accept", [CSV, PARQUET, NDJSON])
def test_no_connection_is_held_between_two_chunks(
    someone: ApiClient, receiver: Receiver, accept: str
) -> None:
    stream = make_stream(someone, receiver.url("/nothing"))
    add_records(stream, limits.CHUNK_RECORDS + 100)

    answer: Any = someone.get(path_of(stream), headers={"Accept": accept})
    parts = iter(answer.streaming_content)
    next(parts)
    next(parts)

    assert connection.connection is None
    answer.close()


def test_what_is_stored_meanwhile_is_for_the_next_file(
    someone: ApiClient, receiver: Receiver
) -> None:
    stream = make_stream(someone, receiver.url("/nothing"))
    add_records(stream, limits.CHUNK_RECORDS + 5)

    answer: Any = someone.get(path_of(stream), headers={"Accept": NDJSON})
    parts = iter(answer.streaming_content)
    seen = next(parts).count(b"\n")
    Record.objects.filter(offset=1).update(offset=limits.CHUNK_RECORDS + 6)
    seen += sum(part.count(b"\n") for part in parts)

    assert seen == limits.CHUNK_RECORDS + 5
