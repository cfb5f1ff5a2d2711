"""Named consumers: what they have not read yet, and nothing skipped whoever stores or reads besides."""

from datetime import timedelta
from typing import Any

import orjson
import pytest

from apps.common import clock
from apps.datafetch.services import consumers
from tests.conftest import MakeClient
from tests.datafetch.support import RemoteApi, items, make_stream, run
from tests.support import ApiClient, Receiver, background, concurrently, wait_until
from tests.support.problems import assert_problem

pytestmark = pytest.mark.django_db(transaction=True)


def path_of(stream: dict[str, Any]) -> str:
    return f"/api/v1/streams/{stream['id']}"


def read(client: ApiClient, stream: dict[str, Any], **query: Any) -> list[int]:
    answer = client.get(f"{path_of(stream)}/records", **{"consumer": "acme", **query})
    assert answer.status_code == 200, answer.content
    return [one["offset"] for one in answer.json()["results"]]


def move(client: ApiClient, stream: dict[str, Any], verb: str = "commit", **body: Any) -> Any:
    return client.post(f"{path_of(stream)}/consumers/acme/{verb}", body)


def standing(client: ApiClient, stream: dict[str, Any]) -> dict[str, tuple[int, int]]:
    found = client.get(f"{path_of(stream)}/consumers").json()["results"]
    return {one["name"]: (one["offset"], one["lag"]) for one in found}


@pytest.fixture
def remote(receiver: Receiver) -> RemoteApi:
    return RemoteApi(receiver, items(7), page=3)


@pytest.fixture
def stream(someone: ApiClient, remote: RemoteApi) -> dict[str, Any]:
    made = make_stream(someone, remote.url("/all"))
    run(someone, made)
    return made


def test_it_reads_what_it_has_not_committed(someone: ApiClient, stream: dict[str, Any]) -> None:
    assert read(someone, stream, limit=3) == [1, 2, 3]
    assert read(someone, stream, limit=3) == [1, 2, 3]
    assert standing(someone, stream) == {"acme": (0, 7)}

    committed = move(someone, stream, offset=3).json()

    assert (committed["name"], committed["offset"], committed["lag"]) == ("acme", 3, 4)
    assert read(someone, stream) == [4, 5, 6, 7]
    assert read(someone, stream, consumer="other", limit=1) == [1]
    assert standing(someone, stream) == {"acme": (3, 4), "other": (0, 7)}


def test_the_next_page_can_be_read_before_the_first_is_committed(
    someone: ApiClient, stream: dict[str, Any]
) -> None:
    move(someone, stream, offset=2)

    first = someone.get(f"{path_of(stream)}/records", consumer="acme", limit=3).json()
    second = someone.get(first["next"]).json()

    assert [one["offset"] for one in second["results"]] == [6, 7]
    assert second["next"] is None


def test_it_is_set_back_and_on(
    someone: ApiClient, stream: dict[str, Any], remote: RemoteApi
) -> None:
    between = clock.now()
    remote.items[0]["name"] = "changed"
    run(someone, stream)

    def after(verb: str, **body: Any) -> list[int]:
        answer = move(someone, stream, verb, **body)
        assert answer.status_code == 200, answer.content
        return read(someone, stream)

    assert after("commit", offset=8) == []
    assert after("commit", offset=6) == [7, 8]
    assert after("seek", to="latest") == []
    assert after("seek", to="earliest") == [1, 2, 3, 4, 5, 6, 7, 8]
    assert after("seek", time=between.isoformat()) == [8]
    assert after("seek", time=(between - timedelta(days=1)).isoformat())[0] == 1
    assert after("seek", time=(between + timedelta(days=1)).isoformat()) == []
    assert after("seek", offset=7) == [8]


def test_what_is_not_there_yet_cannot_be_committed(
    someone: ApiClient, stream: dict[str, Any]
) -> None:
    beyond: tuple[dict[str, Any], ...] = (
        {"offset": 8},
        {"offset": -1},
        {"offset": True},
        {},
        {"offset": 2**63},
    )
    for body in beyond:
        assert_problem(someone.post(f"{path_of(stream)}/consumers/acme/commit", body), 400)
    wrong: tuple[dict[str, Any], ...] = (
        {},
        {"to": "middle"},
        {"to": "latest", "offset": 1},
        {"time": "noon"},
    )
    for body in wrong:
        assert_problem(someone.post(f"{path_of(stream)}/consumers/acme/seek", body), 400)
    assert_problem(move(someone, stream, offset=2, expected=1), 409, "consumer_moved")
    assert move(someone, stream, offset=2, expected=0).status_code == 200
    assert standing(someone, stream) == {"acme": (2, 5)}


@pytest.mark.parametrize("name", ["a b", "ä", "x" * 101, "%00", "a%2Fb"])
def test_a_name_that_does_not_fit_is_refused(
    someone: ApiClient, stream: dict[str, Any], name: str
) -> None:
    posted = someone.post(f"{path_of(stream)}/consumers/{name}/commit", {"offset": 1})
    asked = someone.get(f"{path_of(stream)}/records", consumer=name)

    assert posted.status_code in (400, 404)
    assert_problem(asked, 400, "invalid")
    assert standing(someone, stream) == {}


def test_a_consumer_is_deleted_and_begins_anew(someone: ApiClient, stream: dict[str, Any]) -> None:
    move(someone, stream, offset=5)

    deleted = someone.delete(f"{path_of(stream)}/consumers/acme")
    again = someone.delete(f"{path_of(stream)}/consumers/acme")

    assert deleted.status_code == 204
    assert_problem(again, 404, "consumer_not_found")
    assert read(someone, stream)[0] == 1


def test_there_is_an_end_to_how_many_there_are(
    someone: ApiClient, stream: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "CONSUMERS_PER_STREAM", 1)
    move(someone, stream, offset=1)

    refused = someone.get(f"{path_of(stream)}/records", consumer="second")

    assert_problem(refused, 409, "too_many_consumers")
    assert read(someone, stream)[0] == 2


def test_auto_commit_moves_it_as_it_reads(
    someone: ApiClient, stream: dict[str, Any], api: MakeClient
) -> None:
    seen = []
    while found := read(someone, stream, commit="auto", limit=3):
        seen += found

    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert standing(someone, stream) == {"acme": (7, 0)}
    reader = api("streams:read", account=someone.account)
    move(someone, stream, offset=0)
    refused = reader.get(f"{path_of(stream)}/records", consumer="acme", commit="auto")
    assert_problem(refused, 403, "missing_scope")
    someone.request(
        "HEAD", f"{path_of(stream)}/records", query={"consumer": "acme", "commit": "auto"}
    )
    assert standing(someone, stream) == {"acme": (0, 7)}


def test_queries_that_contradict_themselves_are_refused(
    someone: ApiClient, stream: dict[str, Any]
) -> None:
    for query in (
        {"commit": "auto"},
        {"consumer": "acme", "after": 1},
        {"consumer": "acme", "as_of": "2026-11-21T09:30:00Z"},
        {"consumer": "acme", "commit": "never"},
        {"before": 1},
    ):
        assert_problem(someone.get(f"{path_of(stream)}/records", **query), 400, "invalid")


def test_a_file_moves_it_when_all_of_it_was_passed_on(
    someone: ApiClient, stream: dict[str, Any]
) -> None:
    query = {"consumer": "acme", "commit": "auto"}
    accept = {"Accept": "application/x-ndjson"}

    broken: Any = someone.get(f"{path_of(stream)}/records", headers=accept, **query)
    next(iter(broken.streaming_content))
    broken.close()
    assert standing(someone, stream) == {"acme": (0, 7)}

    answer = someone.get(f"{path_of(stream)}/records", headers=accept, **query)
    assert answer.getvalue().count(b"\n") == 7
    assert standing(someone, stream) == {"acme": (7, 0)}


def test_a_file_does_not_undo_what_another_has_set(
    someone: ApiClient, stream: dict[str, Any]
) -> None:
    query = {"consumer": "acme", "commit": "auto"}
    accept = {"Accept": "text/csv"}

    answer: Any = someone.get(f"{path_of(stream)}/records", headers=accept, **query)
    parts = iter(answer.streaming_content)
    next(parts)
    move(someone, stream, offset=2)
    list(parts)

    assert standing(someone, stream) == {"acme": (2, 5)}


def test_two_clients_of_one_consumer_share_the_records(
    someone: ApiClient, stream: dict[str, Any]
) -> None:
    def take_all(_: int) -> list[int]:
        seen = []
        while found := read(someone, stream, commit="auto", limit=1):
            seen += found
        return seen

    one, other = concurrently(2, take_all)

    assert sorted([*one, *other]) == [1, 2, 3, 4, 5, 6, 7]


def test_nothing_is_skipped_while_records_are_stored(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, items(120), page=2)
    stream = make_stream(
        someone,
        remote.url("/links"),
        pagination={"type": "next_link", "path": "next"},
        records_path="results",
    )
    seen: list[dict[str, Any]] = []

    def all_seen() -> bool:
        answer = someone.get(
            f"{path_of(stream)}/records",
            headers={"Accept": "application/x-ndjson"},
            consumer="acme",
        )
        found = [orjson.loads(line) for line in answer.getvalue().splitlines()]
        if found:
            seen.extend(found)
            last = found[-1]["offset"]
            committed = move(someone, stream, offset=last, expected=last - len(found))
            assert committed.status_code == 200, committed.content
        return len(seen) == 120

    with background(lambda: run(someone, stream)):
        wait_until(all_seen, seconds=60)

    assert [one["offset"] for one in seen] == list(range(1, 121))
    assert [one["data"] for one in seen] == remote.items
