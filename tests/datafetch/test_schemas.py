"""What records look like: found out, kept by version, and told of when it changes."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.datafetch.sources import forms
from apps.events.models import Event
from tests.datafetch.support import (
    PAGINATIONS,
    RemoteApi,
    get,
    items,
    make_stream,
    present,
    records,
    run,
)
from tests.support import ApiClient, Receiver
from tests.support.problems import assert_problem

pytestmark = pytest.mark.django_db

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
RECORDS = st.lists(st.dictionaries(st.text(max_size=3), VALUES, max_size=5), max_size=5)


def schemas(client: ApiClient, stream: dict[str, Any]) -> list[dict[str, list[str]]]:
    """The versions, newest first: each field with its types."""
    found = client.get(f"/api/v1/streams/{stream['id']}/schemas").json()["results"]
    assert [one["number"] for one in found] == list(range(len(found), 0, -1))
    return [
        {name: each["type"] for name, each in one["schema"]["properties"].items()} for one in found
    ]


def rejected(client: ApiClient, stream: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/api/v1/streams/{stream['id']}/rejected").json()[
        "results"
    ]
    return found


def told() -> list[dict[str, Any]]:
    """What each event said that was new."""
    events = Event.objects.filter(type="stream.schema_changed").order_by("pk")
    return [orjson.loads(bytes(one.payload))["data"]["object"] for one in events]


@pytest.fixture
def remote(receiver: Receiver) -> RemoteApi:
    return RemoteApi(receiver, items(5))


def changes(policy: str) -> list[tuple[Any, ...]]:
    return [
        (one["schema_policy"], one["number"], one["added"], one["widened"])
        for one in told()
        if one["schema_policy"] == policy
    ]


def test_the_first_run_finds_it_out_and_tells_nobody(someone: ApiClient, remote: RemoteApi) -> None:
    remote.items[:] = [{"id": 1, "none": None}, {"id": 2, "x": 1}, {"id": 3}, {"id": 4, "x": 0.5}]
    stream = make_stream(
        someone,
        remote.url("/links"),
        pagination={"type": "next_link", "path": "next"},
        records_path="results",
    )

    run(someone, stream)

    assert schemas(someone, stream) == [{"id": ["integer"], "x": ["number"]}]
    assert told() == []


def test_what_evolves_has_a_new_version_and_is_told(someone: ApiClient, remote: RemoteApi) -> None:
    stream = make_stream(someone, remote.url("/all"))
    run(someone, stream)
    remote.items[0]["name"] = 7
    remote.items[1]["extra"] = {"deep": True}
    remote.items[2]["id"] = 3.0
    remote.items[3]["later"] = None

    run(someone, stream)
    run(someone, stream)

    newest, first = schemas(someone, stream)
    assert first == {"id": ["integer"], "name": ["string"]}
    assert newest["name"] == ["integer", "string"]
    assert newest["extra"] == ["object"]
    assert "later" not in newest
    assert changes("evolve") == [("evolve", 2, ["extra"], ["id", "name"])]


def test_frozen_the_run_fails_and_stores_nothing_of_the_page(
    someone: ApiClient, remote: RemoteApi
) -> None:
    stream = make_stream(someone, remote.url("/all"), schema_policy="freeze")
    run(someone, stream)
    remote.items[0]["name"] = "changed"
    remote.items[1]["extra"] = 1

    ended = run(someone, stream)
    run(someone, stream)

    assert (ended["status"], ended["error"]["code"]) == ("failed", "schema_changed")
    assert "extra" in ended["error"]["detail"]
    assert len(records(someone, stream)) == 5
    assert changes("freeze") == [("freeze", 1, ["extra"], [])]
    assert get(someone, stream)["health"] == "failing"

    someone.patch(f"/api/v1/streams/{stream['id']}", {"schema_policy": "evolve"})
    assert run(someone, stream)["records_changed"] == 2
    assert schemas(someone, stream)[0].keys() == {"id", "name", "extra"}


def test_rejected_are_those_that_do_not_fit_alone(someone: ApiClient, remote: RemoteApi) -> None:
    stream = make_stream(someone, remote.url("/all"), schema_policy="reject")
    run(someone, stream)
    remote.items.append({"id": 6, "name": "six", "extra": 1})
    remote.items.append({"id": 7, "name": 7})
    remote.items.append({"id": 8, "name": None})

    ended = run(someone, stream)
    remote.items.append({"id": 9})
    run(someone, stream)

    assert (ended["status"], ended["records_new"], ended["records_rejected"]) == ("succeeded", 1, 2)
    assert [one["key"] for one in records(someone, stream, after=5)] == ["8", "9"]
    assert {one["code"] for one in rejected(someone, stream)} == {"schema_mismatch"}
    assert any("extra" in one["detail"] for one in rejected(someone, stream))
    assert changes("reject") == [("reject", 1, ["extra"], ["name"])]
    assert len(schemas(someone, stream)) == 1


def test_what_was_rejected_is_taken_in_when_the_policy_lets_it(
    someone: ApiClient, remote: RemoteApi
) -> None:
    stream = make_stream(someone, remote.url("/all"), schema_policy="reject")
    run(someone, stream)
    remote.items.append({"id": 6, "extra": 1})
    run(someone, stream)

    someone.patch(f"/api/v1/streams/{stream['id']}", {"schema_policy": "evolve"})
    ended = run(someone, stream)

    assert (ended["records_new"], ended["records_rejected"]) == (1, 0)


def test_a_new_mapping_is_the_owners_own_will(someone: ApiClient, remote: RemoteApi) -> None:
    mapping = {"id": "id", "name": "name"}
    stream = make_stream(someone, remote.url("/all"), schema_policy="freeze", mapping=mapping)
    run(someone, stream)

    someone.patch(
        f"/api/v1/streams/{stream['id']}", {"mapping": {**mapping, "length": "length(name)"}}
    )
    ended = run(someone, stream)

    assert (ended["status"], ended["records_changed"]) == ("succeeded", 5)
    assert schemas(someone, stream)[0]["length"] == ["integer"]


def test_names_that_no_table_can_hold_do_no_harm(someone: ApiClient, remote: RemoteApi) -> None:
    remote.items[:] = [
        {"id": 1, "a\0b": 1, "x" * 300: 2, "ok": 3, **{f"f{n}": n for n in range(600)}}
    ]
    stream = make_stream(someone, remote.url("/all"))

    ended = run(someone, stream)

    assert ended["status"] == "succeeded"
    assert len(schemas(someone, stream)[0]) == forms.MAX_FIELDS
    assert records(someone, stream)[0]["data"] == remote.items[0]


def test_a_policy_that_there_is_not_is_refused(someone: ApiClient, remote: RemoteApi) -> None:
    body = {"name": "s", "url": remote.url("/all"), "schema_policy": "pray"}

    assert_problem(someone.post("/api/v1/streams", body), 400, "invalid")


@given(one=RECORDS, other=RECORDS)
def test_a_form_has_room_for_all_that_it_was_made_of(
    one: list[dict[str, Any]], other: list[dict[str, Any]]
) -> None:
    first: forms.Form = {}
    second: forms.Form = {}
    for each in one:
        forms.observe(first, each)
    for each in other:
        forms.observe(second, each)

    both = forms.merged(forms.merged({}, first), second)

    assert [forms.strange(both, each) for each in [*one, *other]] == [{}] * len([*one, *other])
    assert forms.merged(both, first) == both == forms.merged(both, {})
    assert forms.of_schema(forms.as_schema(both)) == both


def test_a_new_mapping_may_widen_it_on_each_of_its_pages(
    someone: ApiClient, receiver: Receiver
) -> None:
    """Also when its first page looks like what there was."""
    found = [{"id": n, "a": "x", "b": "y" if n < 4 else n} for n in range(1, 7)]
    remote = RemoteApi(receiver, found)
    stream = make_stream(
        someone,
        remote.url("/links"),
        schema_policy="freeze",
        mapping={"id": "id", "v": "a"},
        **PAGINATIONS["/links"],
    )
    run(someone, stream)
    someone.patch(f"/api/v1/streams/{stream['id']}", {"mapping": {"id": "id", "v": "b"}})

    ended = run(someone, stream)

    assert (ended["status"], ended["error"]) == ("succeeded", None)
    assert [one["v"] for one in present(someone, stream)] == ["y", "y", "y", 4, 5, 6]
