"""POST /streams/preview: what a run would make of the first page, told and not stored."""

import socket
import threading
from functools import partial
from typing import Any

import orjson
import pytest
from django.db import connection

from apps.common.models import IdempotencyKey
from apps.datafetch import limits
from apps.datafetch.errors import PreviewTooSoon
from apps.datafetch.models import Page, Progress, Record, Rejected, Run, SchemaVersion, Stream
from apps.datafetch.services import previewing
from apps.datafetch.services.turns import source_of
from apps.datafetch.tasks import read
from tests.conftest import MakeClient
from tests.datafetch.support import (
    PAGINATIONS,
    RemoteApi,
    as_json,
    items,
    let_time_pass,
    make_stream,
    run,
)
from tests.datafetch.test_credentials import AUTH, SECRET, TokenServer, oauth2
from tests.support import Answer, ApiClient, Receiver, wait_until
from tests.support.problems import assert_problem
from tests.support.receiver import Received

pytestmark = pytest.mark.django_db

URL = "/api/v1/streams/preview"


def look(client: ApiClient, url: str | None = None, **body: Any) -> dict[str, Any]:
    let_time_pass()
    given = {"primary_key": "id", **body} if "stream" not in body else body
    answer = client.post(URL, {**given, **({"url": url} if url else {})})
    assert answer.status_code == 200, answer.content
    seen: dict[str, Any] = answer.json()
    return seen


def warned(seen: dict[str, Any]) -> list[str]:
    return [one["code"] for one in seen["warnings"]]


@pytest.mark.parametrize("path", PAGINATIONS)
def test_the_first_page_is_shown_as_it_would_be_stored(
    someone: ApiClient, receiver: Receiver, path: str
) -> None:
    remote = RemoteApi(receiver, items(7))

    seen = look(someone, remote.url(path), **PAGINATIONS[path])

    on_page = remote.items if path == "/all" else remote.items[:3]
    assert (seen["error"], seen["warnings"], seen["rejected"]) == (None, [], [])
    assert seen["records_found"] == len(on_page)
    assert [one["data"] for one in seen["records"]] == on_page
    assert [one["key"] for one in seen["records"]] == [str(one["id"]) for one in on_page]
    assert {one["change"] for one in seen["records"]} == {"new"}
    assert seen["schema"]["properties"] == {
        "id": {"type": ["integer"]},
        "name": {"type": ["string"]},
    }
    assert (seen["response"]["status"], seen["response"]["excerpt"]) == (200, None)
    assert len(receiver.requests) == 1
    if path == "/all":
        assert seen["next_page"] is None
    else:
        assert seen["next_page"]["is_other_origin"] is False
        following = seen["next_page"]["url"].partition("?")[2]
        made = make_stream(someone, remote.url(path), **PAGINATIONS[path])
        run(someone, made)
        assert receiver.requests[2].query == following


def test_nothing_is_stored(someone: ApiClient, receiver: Receiver) -> None:
    remote = RemoteApi(receiver, [*items(3), {"no": "id"}])

    look(someone, remote.url("/all"))

    for model in (Stream, Progress, Run, Page, Record, Rejected, SchemaVersion, IdempotencyKey):
        assert not model._default_manager.exists(), model


def test_mapping_keys_cursor_and_rejections_are_shown(
    someone: ApiClient, receiver: Receiver
) -> None:
    found = [
        {"id": 1, "at": "2026-01-02T00:00:00Z", "price": {"amount": 5}},
        {"id": 2, "at": "2026-01-03T00:00:00Z", "price": None},
        {"id": 1, "price": {"amount": 6}},
        {"name": "nameless"},
        "text",
    ]
    RemoteApi(receiver, found)

    seen = look(
        someone,
        receiver.url("/all"),
        mapping={"number": "id", "amount": "price.amount"},
        cursor={"field": "at", "param": "since", "initial": "2025-01-01"},
    )

    assert [(one["key"], one["cursor"], one["data"]) for one in seen["records"]] == [
        ("1", "2026-01-02T00:00:00Z", {"number": 1, "amount": 5}),
        ("2", "2026-01-03T00:00:00Z", {"number": 2, "amount": None}),
        ("1", None, {"number": 1, "amount": 6}),
    ]
    assert seen["greatest_cursor"] == "2026-01-03T00:00:00Z"
    assert (seen["records_found"], seen["records_rejected"]) == (5, 2)
    assert [one["code"] for one in seen["rejected"]] == ["no_key", "not_an_object"]
    assert warned(seen) == ["keys_missing", "keys_doubled", "cursor_missing"]
    assert receiver.requests[0].query == "since=2025-01-01"
    assert "since=2025-01-01" in seen["request"]["url"]


def test_as_many_are_shown_as_are_asked_for(someone: ApiClient, receiver: Receiver) -> None:
    RemoteApi(receiver, items(60))

    assert len(look(someone, receiver.url("/all"))["records"]) == 10
    assert len(look(someone, receiver.url("/all"), records=50)["records"]) == 50


def test_an_answer_of_large_records_stays_small(someone: ApiClient, receiver: Receiver) -> None:
    RemoteApi(receiver, items(20, text="x" * 200_000)[:20])

    seen = look(someone, receiver.url("/all"), records=20)

    assert (seen["records_found"], len(seen["records"])) == (20, 5)


@pytest.mark.parametrize(
    ("answer", "code", "excerpt"),
    [
        (
            Answer(404, b'{"message": "no such thing"}'),
            "http_error",
            '{"message": "no such thing"}',
        ),
        (Answer(401, b"who are you?"), "unauthorized", "who are you?"),
        (Answer(429, b"", {"Retry-After": "77"}), "rate_limited", ""),
        (Answer(503, b"busy\0"), "http_error", "busy\0"),
        (Answer(200, b"<html>Sign in</html>"), "not_json", "<html>Sign in</html>"),
        (Answer(200, b"x", {"Content-Encoding": "br"}), "encoding_unknown", None),
        (Answer(302, b"", {"Location": "http://192.168.0.1/"}), "address_not_allowed", None),
        (Answer(200, b"[" + b" " * 5_000_000 + b"]"), "answer_too_large", None),
    ],
)
def test_what_goes_wrong_over_there_is_told(
    someone: ApiClient, receiver: Receiver, answer: Answer, code: str, excerpt: str | None
) -> None:
    receiver.answer("/", answer)

    seen = look(someone, receiver.url("/"))

    assert seen["error"]["code"] == code
    assert (seen["records_found"], seen["records"], seen["next_page"]) == (None, [], None)
    if excerpt is None:
        assert seen["response"] is None
    else:
        assert seen["response"]["status"] == answer.status == seen["error"]["status"]
        assert seen["response"]["excerpt"] == excerpt
    if code == "rate_limited":
        assert seen["response"]["headers"]["retry-after"] == "77"


def test_a_server_that_is_not_there_is_told(someone: ApiClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    seen = look(someone, f"http://127.0.0.1:{port}/")

    assert (seen["error"]["code"], seen["response"]) == ("connection_failed", None)
    assert seen["request"]["url"] == f"http://127.0.0.1:{port}/"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"data": {"items": items(2)}, "more": items(1)}, "data.items (2), more (1)."),
        ({"odd-name": items(1)}, '"odd-name" (1).'),
        ({"nothing": 5}, "There is nothing at records_path 'rows'."),
    ],
)
def test_who_misses_the_records_is_told_where_lists_are(
    someone: ApiClient, receiver: Receiver, body: Any, told: str
) -> None:
    receiver.answer("/", as_json(body))

    seen = look(someone, receiver.url("/"), records_path="rows")

    assert seen["error"]["code"] == "records_not_found"
    assert seen["error"]["detail"].endswith(told)


@pytest.mark.parametrize(
    ("answer", "config", "code"),
    [
        (as_json([]), {}, "no_records"),
        (as_json(items(2)), {"primary_key": None}, "no_primary_key"),
        (Answer(200, orjson.dumps(items(2)), {"Content-Type": "text/html"}), {}, "content_type"),
        (as_json(items(2)), {"pagination": {"type": "offset", "limit": 5}}, "short_page"),
        (
            as_json({"results": items(1), "next": "http://127.0.0.2:9999/"}),
            PAGINATIONS["/links"],
            "next_page_elsewhere",
        ),
    ],
)
def test_what_may_not_be_meant_is_warned_of(
    someone: ApiClient, receiver: Receiver, answer: Answer, config: dict[str, Any], code: str
) -> None:
    receiver.answer("/", answer)

    seen = look(someone, receiver.url("/"), **config)

    assert warned(seen) == [code]
    assert seen["error"] is None
    if code == "next_page_elsewhere":
        assert seen["next_page"] == {"url": "http://127.0.0.2:9999/", "is_other_origin": True}


@pytest.mark.parametrize(
    ("link", "code"),
    [("http://10.0.0.1/next", "address_not_allowed"), (["x"], "pagination_invalid")],
)
def test_a_next_page_that_cannot_be_is_told(
    someone: ApiClient, receiver: Receiver, link: Any, code: str
) -> None:
    receiver.answer("/", as_json({"results": items(1), "next": link}))

    seen = look(someone, receiver.url("/"), **PAGINATIONS["/links"])

    assert seen["error"]["code"] == code
    assert len(seen["records"]) == 1


def test_a_redirect_to_another_origin_is_warned_of(someone: ApiClient, receiver: Receiver) -> None:
    with Receiver() as other:
        other.answer("/", as_json(items(1)))
        receiver.answer("/", Answer(302, b"", {"Location": other.url("/")}))

        seen = look(someone, receiver.url("/"), auth=AUTH["bearer"])

        assert warned(seen) == ["redirected_elsewhere"]
        assert seen["response"]["url"] == other.url("/")
        assert other.requests[0].headers["Authorization"] is None


@pytest.mark.parametrize("kind", AUTH)
def test_credentials_are_sent_and_not_shown(
    someone: ApiClient, receiver: Receiver, kind: str
) -> None:
    """Not even by a server that sends back whatever it got."""
    receiver.answer(
        "/",
        lambda request: as_json(
            [{"id": 1, "headers": dict(request.headers), "query": request.query}],
            Link=f"<{request.query}>",
        ),
    )

    seen = look(
        someone,
        receiver.url("/"),
        auth=AUTH[kind],
        headers={"X-Secret": "sesame-1", "X-Team": "a"},
        params={"access_token": "sesame-2", "state": "open"},
    )

    (request,) = receiver.requests
    shown = orjson.dumps(seen).decode()
    assert request.headers["X-Secret"] == "sesame-1"
    assert "access_token=sesame-2" in request.query
    assert not any(secret in shown for secret in (SECRET, "sesame", "bWU6"))
    assert seen["request"]["headers"]["X-Team"] == "a"
    assert seen["request"]["headers"]["X-Secret"] == "***"
    assert "state=open" in seen["request"]["url"]
    assert "access_token=***" in seen["request"]["url"]
    assert ("key=***" in seen["request"]["url"]) is (kind == "api_key query")


def test_a_token_is_fetched_for_it(someone: ApiClient, receiver: Receiver) -> None:
    server = TokenServer(receiver)

    seen = look(someone, receiver.url("/links"), auth=oauth2(receiver), **PAGINATIONS["/links"])

    assert (seen["records_found"], server.issued) == (3, 1)
    assert seen["request"]["headers"]["authorization"] == "***"


def test_a_token_that_is_refused_is_told(someone: ApiClient, receiver: Receiver) -> None:
    receiver.answer("/token", Answer(401, b"client_secret shh is wrong"))

    seen = look(someone, receiver.url("/links"), auth=oauth2(receiver))

    assert seen["error"]["code"] == "token_refused"
    assert (seen["request"]["method"], seen["request"]["url"]) == ("POST", receiver.url("/token"))


def test_a_change_to_a_stream_is_looked_at_with_its_secrets(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, items(3))
    stream = make_stream(someone, remote.url("/all"), auth=AUTH["bearer"])
    run(someone, stream)
    remote.items[1]["name"] = "another"
    remote.items.append({"id": 4, "name": "new", "size": 5})

    same = look(someone, stream=stream["id"])
    mapped = look(someone, stream=stream["id"], mapping={"label": "name"})

    assert receiver.requests[-1].headers["Authorization"] == f"Bearer {SECRET}"
    assert [one["change"] for one in same["records"]] == [
        "unchanged",
        "changed",
        "unchanged",
        "new",
    ]
    assert same["schema_changes"] == ["size"]
    assert {one["change"] for one in mapped["records"]} == {"changed", "new"}
    assert mapped["records"][0]["data"] == {"label": "item 1"}
    assert someone.get(f"/api/v1/streams/{stream['id']}").json()["mapping"] is None
    assert Record.objects.count() == 3


@pytest.mark.parametrize(
    ("policy", "code", "rejected"), [("freeze", "schema_changed", 1), ("reject", None, 1)]
)
def test_what_the_policy_would_not_let_in_is_shown(
    someone: ApiClient, receiver: Receiver, policy: str, code: str | None, rejected: int
) -> None:
    remote = RemoteApi(receiver, items(2))
    stream = make_stream(someone, remote.url("/all"), schema_policy=policy)
    run(someone, stream)
    remote.items.append({"id": 3, "size": 5})

    seen = look(someone, stream=stream["id"])

    assert (seen["error"] or {}).get("code") == code
    assert [one["code"] for one in seen["rejected"]] == ["schema_mismatch"]
    assert (seen["records_rejected"], seen["schema_changes"]) == (rejected, ["size"])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/url"),
        ({"url": "http://10.0.0.1/"}, "/url"),
        ({"url": "ftp://example.com/"}, "/url"),
        ({"url": "http://127.0.0.1:9/", "mapping": {"a": "[["}}, "/url"),
        ({"url": "http://127.0.0.1:9999/", "mapping": {"a": "[["}}, "/mapping/a"),
        ({"url": "http://127.0.0.1:9999/", "records": 51}, "/records"),
        ({"stream": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9d01"}, "/stream"),
    ],
)
def test_what_could_not_be_made_is_not_looked_at(
    someone: ApiClient, body: dict[str, Any], pointer: str
) -> None:
    answer = someone.post(URL, body)

    assert_problem(answer, 400)
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_secrets_of_a_stream_are_not_led_elsewhere(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, receiver.url("/"), auth=AUTH["bearer"])
    with Receiver() as other:
        answer = someone.post(URL, {"stream": stream["id"], "url": other.url("/")})

        assert_problem(answer, 400)
        assert answer.json()["errors"][0]["code"] == "secrets_required"
        assert other.requests == []


def test_another_accounts_stream_is_not_there(
    someone: ApiClient, api: MakeClient, receiver: Receiver
) -> None:
    stream = make_stream(someone, receiver.url("/"))

    answer = api("streams:write").post(URL, {"stream": stream["id"]})

    assert_problem(answer, 400)
    assert answer.json()["errors"][0]["code"] == "stream_not_found"
    assert receiver.requests == []


def test_previews_are_spaced(someone: ApiClient, receiver: Receiver) -> None:
    RemoteApi(receiver, items(1))
    body = {"url": receiver.url("/all")}

    answers = [someone.post(URL, body) for _ in range(3)]

    refused = [one for one in answers if one.status_code == 429]
    assert refused
    assert_problem(refused[-1], 429)
    assert refused[-1].json()["code"] == "preview_too_soon"
    assert int(refused[-1].headers["Retry-After"]) >= 1
    assert len(receiver.requests) == len(answers) - len(refused)


def test_a_host_that_had_enough_is_not_looked_at(someone: ApiClient, receiver: Receiver) -> None:
    receiver.answer("/", Answer(429, b"", {"Retry-After": "300"}))
    run_once = make_stream(someone, receiver.url("/"))
    someone.post(f"/api/v1/streams/{run_once['id']}/run", {})
    read()

    answer = someone.post(URL, {"url": receiver.url("/")})

    assert_problem(answer, 429)
    assert 200 < int(answer.headers["Retry-After"]) <= 300
    assert len(receiver.requests) == 1


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_network_is_asked(
    someone: ApiClient, receiver: Receiver
) -> None:
    """Also with an Idempotency-Key; a retry asks nobody again."""
    open_ones: list[int] = []

    def answer(_request: Received) -> Answer:
        with connection.cursor() as cursor:  # this thread's own
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%%'"
            )
            open_ones.append(cursor.fetchone()[0])
        connection.close()
        return as_json(items(1))

    receiver.answer("/", answer)
    body = {"url": receiver.url("/"), "primary_key": "id"}

    first = someone.post(URL, body, idempotency_key="once")
    again = someone.post(URL, body, idempotency_key="once")
    other = someone.post(URL, {**body, "records": 1}, idempotency_key="once")

    assert first.status_code == 200, first.content
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")
    assert_problem(other, 422)
    assert open_ones == [0]


@pytest.mark.django_db(transaction=True)
def test_threads_are_left_for_others(someone: ApiClient, receiver: Receiver) -> None:
    """Two of an account may wait for a slow server; a third is told so at once."""
    go_on = threading.Event()
    receiver.answer("/slow", lambda _: as_json([]) if go_on.wait(20) else Answer(500))
    answers: list[int] = []

    def ask() -> None:
        answers.append(someone.post(URL, {"url": receiver.url("/slow")}).status_code)
        connection.close()

    def has_come(number: int) -> bool:
        return len(receiver.at("/slow")) == number

    threads = [threading.Thread(target=ask) for _ in range(2)]
    try:
        for number, thread in enumerate(threads, start=1):
            let_time_pass()
            thread.start()
            wait_until(partial(has_come, number))
        let_time_pass()

        refused = someone.post(URL, {"url": receiver.url("/slow")})
    finally:
        go_on.set()
        for thread in threads:
            thread.join(20)

    assert_problem(refused, 503)
    assert refused.json()["code"] == "too_many_previews"
    assert answers == [200, 200]


@pytest.mark.parametrize(
    ("answer", "config", "code"),
    [
        (Answer(302, b"", {"Location": "http://["}), {}, "redirect_invalid"),
        (as_json([]), {"params": {"q": "x" * 3000}}, "url_invalid"),
        (
            as_json([]),
            {"auth": {"type": "api_key", "name": "key", "value": "x" * 3000, "in": "query"}},
            "url_invalid",
        ),
        (
            as_json({"results": [], "next": "http://127.0.0.1:9999/?q=" + "'" * 1900}),
            {
                **PAGINATIONS["/links"],
                "auth": {"type": "api_key", "name": "q", "value": "v", "in": "query"},
            },
            None,
        ),
    ],
)
def test_a_url_that_is_none_is_told(
    someone: ApiClient, receiver: Receiver, answer: Answer, config: dict[str, Any], code: str
) -> None:
    receiver.answer("/", answer)

    seen = look(someone, receiver.url("/"), **config)

    assert (seen["error"] or {}).get("code") == code
    if code:
        made = make_stream(someone, receiver.url("/"), **config)
        assert run(someone, made)["error"]["code"] == code


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("1234", {"n": "***5", "m": ["***", True, None], "***": 0}),
        ("true", {"m": [1234, "***", None]}),
        ("nabc", {}),
        ('":"x', {"x": "x***"}),
    ],
)
def test_what_is_shown_is_json_whatever_the_secret_is(
    someone: ApiClient, receiver: Receiver, secret: str, shown: dict[str, Any]
) -> None:
    record = {"id": 7, "n": 12345, "m": [1234, True, None], "x": 'x":"x', "line": "\nabc"}
    receiver.answer("/", as_json([{**record, "1234": 0}]))

    seen = look(someone, receiver.url("/"), auth={"type": "bearer", "token": secret})

    others = {} if "***" in shown else {"1234": 0}
    assert [one["data"] for one in seen["records"]] == [{**record, **others, **shown}]


def test_no_corner_of_it_shows_what_a_server_sends_back(
    someone: ApiClient, receiver: Receiver
) -> None:
    found = [{"id": f"key {SECRET}", "at": f"z{SECRET}"}, {"id": [SECRET]}]
    body = Answer(200, orjson.dumps(found), {"Content-Type": f"text/plain; x={SECRET}"})
    receiver.answer("/", body)

    seen = look(
        someone,
        receiver.url("/"),
        auth=AUTH["bearer"],
        mapping={"sum": "abs(at)"},
        cursor={"field": "at", "param": "since"},
    )
    plain = look(
        someone,
        receiver.url("/"),
        auth=AUTH["bearer"],
        cursor={"field": "at", "param": "since"},
    )

    assert {one["code"] for one in seen["rejected"]} == {"expression_failed"}
    assert plain["records"][0]["key"] == "key ***"
    assert (plain["greatest_cursor"], plain["records"][0]["cursor"]) == ("z***", "z***")
    assert SECRET not in orjson.dumps([seen, plain]).decode()


def test_of_very_many_records_the_first_are_looked_at(
    someone: ApiClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PREVIEW_RECORDS", 20)
    RemoteApi(receiver, [1] * 30 + items(20))

    seen = look(someone, receiver.url("/all"))

    assert (seen["records_found"], seen["records_rejected"], seen["records"]) == (50, 20, [])
    assert warned(seen) == ["not_all_looked_at"]


@pytest.mark.django_db(transaction=True)
def test_of_those_who_come_at_once_one_has_its_preview(
    someone: ApiClient, receiver: Receiver
) -> None:
    stream = Stream.objects.get(pk=make_stream(someone, receiver.url("/"))["id"])
    gate = threading.Barrier(8)
    passed: list[int] = []

    def come() -> None:
        connection.ensure_connection()
        gate.wait(20)
        try:
            previewing._reserve(stream, source_of(stream))
            passed.append(1)
        except PreviewTooSoon:
            pass
        connection.close()

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert passed == [1]
