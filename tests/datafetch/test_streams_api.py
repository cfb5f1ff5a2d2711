"""Making and changing streams: what is taken, what is refused, and where the answer points."""

from typing import Any

import pytest

from apps.datafetch.models import Stream
from tests.conftest import MakeClient
from tests.datafetch.support import RemoteApi, get, items, make_stream, run
from tests.support import ApiClient, Receiver

pytestmark = pytest.mark.django_db

URL = "http://127.0.0.1:8000/records"


def test_a_stream_needs_a_name_and_a_url_alone(someone: ApiClient) -> None:
    answer = someone.post("/api/v1/streams", {"name": "x", "url": URL})

    assert answer.status_code == 201
    made = answer.json()
    assert made == get(someone, made)
    expected = {
        "interval_seconds": 300,
        "cron": None,
        "records_path": "",
        "primary_key": None,
        "cursor": None,
        "pagination": {"type": "none"},
        "auth": {"type": "none"},
        "headers": {},
        "params": {},
        "mapping": None,
        "rate_limit": None,
        "state": "stopped",
        "record_count": 0,
        "last_offset": 0,
        "version": 1,
    }
    assert {name: made[name] for name in expected} == expected


def test_everything_comes_back_as_it_was_sent(someone: ApiClient) -> None:
    sent = {
        "name": "everything",
        "url": URL + "?fields=a,b",
        "cron": "*/5 * * * 1-5",
        "records_path": "data[?active].item",
        "primary_key": ["a", "b.c"],
        "cursor": {"field": "at", "param": "since", "initial": "2026-01-01", "lookback_seconds": 9},
        "pagination": {
            "type": "page_number",
            "param": "p",
            "start": 0,
            "size_param": "n",
            "size": 9,
        },
        "headers": {"X-Team": "a"},
        "params": {"state": "open"},
        "mapping": {"id": "a", "total": "sum(lines[].amount)"},
        "rate_limit": 2.5,
    }

    made = someone.post("/api/v1/streams", sent).json()

    assert {name: made[name] for name in sent} == sent
    assert made["interval_seconds"] is None


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"name": ""}, "/name", "blank"),
        ({"name": "x" * 201}, "/name", "max_length"),
        ({"url": "ftp://example.com"}, "/url", "invalid_url"),
        ({"url": "http://10.1.2.3/"}, "/url", "address_not_allowed"),
        ({"url": "http://169.254.169.254/latest"}, "/url", "address_not_allowed"),
        ({"url": "http://0x7f.1/"}, "/url", "address_not_allowed"),
        ({"url": URL + "?api_key=x"}, "/url", "secret_in_url"),
        ({"interval_seconds": 0}, "/interval_seconds", "min_value"),
        ({"interval_seconds": "300"}, "/interval_seconds", "invalid"),
        ({"interval_seconds": 10**12}, "/interval_seconds", "max_value"),
        ({"cron": "61 * * * *"}, "/cron", "invalid_cron"),
        ({"cron": "0 0 30 2 *"}, "/cron", "invalid_cron"),
        ({"cron": "nonsense"}, "/cron", "invalid_cron"),
        ({"cron": "* * * * *", "interval_seconds": 5}, "/cron", "two_schedules"),
        ({"records_path": "a["}, "/records_path", "invalid_expression"),
        ({"records_path": "(" * 400}, "/records_path", "invalid_expression"),
        ({"records_path": "|".join(["[@,@][]"] * 50)}, "/records_path", "invalid_expression"),
        ({"records_path": "nosuch(@)"}, "", ""),
        ({"primary_key": ""}, "/primary_key", "blank"),
        ({"primary_key": []}, "/primary_key", "min_length"),
        ({"primary_key": ["a"] * 9}, "/primary_key", "max_length"),
        ({"primary_key": 5}, "/primary_key", "invalid"),
        ({"cursor": {"field": "a"}}, "/cursor/param", "required"),
        ({"cursor": {"field": "a", "param": "b", "initial": [1]}}, "/cursor/initial", None),
        ({"pagination": "none"}, "/pagination", "not_an_object"),
        ({"pagination": {}}, "/pagination/type", "unknown_type"),
        ({"pagination": {"type": "magic"}}, "/pagination/type", "unknown_type"),
        ({"pagination": {"type": "next_link"}}, "/pagination/path", "required"),
        ({"pagination": {"type": "none", "path": "x"}}, "/pagination/path", "unknown_field"),
        ({"pagination": {"type": "offset", "limit": 0}}, "/pagination/limit", "min_value"),
        ({"auth": {"type": "bearer"}}, "/auth/token", "required"),
        ({"auth": {"type": "bearer", "token": "a\nb"}}, "/auth/token", "not_ascii"),
        ({"auth": {"type": "bearer", "token": "ü"}}, "/auth/token", "not_ascii"),
        ({"auth": {"type": "basic", "username": "x"}}, "/auth/password", "required"),
        ({"auth": {"type": "api_key", "name": "k", "value": "v"}}, "/auth/in", "required"),
        (
            {"auth": {"type": "api_key", "name": "Host", "value": "v", "in": "header"}},
            "/auth/name",
            None,
        ),
        ({"headers": {"Host": "evil"}}, "/headers", "invalid_name"),
        ({"headers": {"X": "a\r\nY: b"}}, "/headers/X", "not_ascii"),
        ({"headers": {"X Y": "a"}}, "/headers", "invalid_name"),
        ({"headers": {f"X-{n}": "a" for n in range(51)}}, "/headers", "too_many"),
        ({"headers": {"X-Key": None}}, "/headers/X-Key", "required"),
        ({"params": {"a": 5}}, "/params/a", "invalid"),
        ({"params": {"a": None}}, "/params/a", "required"),
        ({"mapping": {"a": "b["}}, "/mapping/a", "invalid_expression"),
        ({"mapping": []}, "/mapping", "not_a_dict"),
        ({"rate_limit": 0}, "/rate_limit", "min_value"),
        ({"rate_limit": "fast"}, "/rate_limit", "invalid"),
        ({"colour": "red"}, "/colour", "unknown_field"),
    ],
)
def test_what_is_wrong_is_pointed_at(
    someone: ApiClient, change: dict[str, Any], pointer: str, code: str | None
) -> None:
    answer = someone.post("/api/v1/streams", {"name": "x", "url": URL, **change})

    if not pointer:
        assert answer.status_code == 201  # found out when it runs
        return
    assert answer.status_code == 400, answer.content
    (fault,) = answer.json()["errors"]
    assert fault["pointer"] == pointer
    assert code is None or fault["code"] == code
    assert not Stream.objects.exists()


@pytest.mark.parametrize(
    ("change", "interval", "cron"),
    [
        ({"cron": "0 * * * *"}, None, "0 * * * *"),
        ({"interval_seconds": 9}, 9, None),
        ({"cron": None}, 300, None),
        ({"interval_seconds": None, "cron": None}, 300, None),
        ({"interval_seconds": None, "cron": "0 * * * *"}, None, "0 * * * *"),
    ],
)
def test_one_schedule_takes_the_others_place(
    someone: ApiClient, change: dict[str, Any], interval: int | None, cron: str | None
) -> None:
    stream = make_stream(someone, URL)

    changed = someone.patch(f"/api/v1/streams/{stream['id']}", change).json()

    assert (changed["interval_seconds"], changed["cron"]) == (interval, cron)


def test_a_change_of_the_schedule_counts_from_now(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(1)).url("/all"), interval_seconds=86400)
    someone.post(f"/api/v1/streams/{stream['id']}/start", {})
    run(someone, stream)
    before = get(someone, stream)["next_run_at"]

    someone.patch(f"/api/v1/streams/{stream['id']}", {"interval_seconds": 60})

    assert get(someone, stream)["next_run_at"] < before


def test_etags_compare_what_is_written_and_show_what_happens(
    someone: ApiClient, receiver: Receiver
) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(1)).url("/all"))
    url = f"/api/v1/streams/{stream['id']}"
    tag = someone.get(url).headers["ETag"]
    assert someone.get(url, headers={"If-None-Match": tag}).status_code == 304

    run(someone, stream)

    assert someone.get(url, headers={"If-None-Match": tag}).status_code == 200
    assert someone.patch(url, {"name": "b"}, headers={"If-Match": tag}).status_code == 200
    assert someone.patch(url, {"name": "c"}, headers={"If-Match": tag}).status_code == 412


def test_strangers_see_nothing(someone: ApiClient, api: MakeClient, receiver: Receiver) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(1)).url("/all"))
    ended = run(someone, stream)
    other = api()

    for path in ("", "/runs", f"/runs/{ended['id']}", "/records"):
        assert other.get(f"/api/v1/streams/{stream['id']}{path}").status_code == 404
    assert other.get("/api/v1/streams").json()["results"] == []


def test_records_are_read_page_by_page(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(5)).url("/all"))
    run(someone, stream)
    url = f"/api/v1/streams/{stream['id']}/records"

    first = someone.get(url, limit=2).json()
    second = someone.get(first["next"]).json()
    last = someone.get(second["next"]).json()

    assert [one["offset"] for one in first["results"]] == [1, 2]
    assert [one["offset"] for one in second["results"]] == [3, 4]
    assert ([one["offset"] for one in last["results"]], last["next"]) == ([5], None)
    assert first["results"][0] == {
        "offset": 1,
        "key": "1",
        "data": {"id": 1, "name": "item 1"},
        "fetched_at": first["results"][0]["fetched_at"],
        "change": "new",
    }
    assert someone.get(url, after=2**63 - 1).json()["results"] == []
    for wrong in ("after=-1", f"after={2**63}", "limit=0", "limit=201", "aftr=1"):
        assert someone.get(f"{url}?{wrong}").status_code == 400
