"""Every kind of authentication, and secrets that go nowhere else."""

import base64
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.db import connection, connections

from apps.datafetch.models import Page, Progress, Run, Stream
from apps.events.models import Event
from tests.datafetch.support import (
    PAGINATIONS,
    RemoteApi,
    as_json,
    get,
    items,
    make_stream,
    present,
    query_of,
    run,
)
from tests.support import Answer, ApiClient, Receiver
from tests.support.receiver import Received

pytestmark = pytest.mark.django_db

SECRET = "s3cret-väl ue/+&=".replace("ä", "a")

AUTH: dict[str, dict[str, Any]] = {
    "bearer": {"type": "bearer", "token": SECRET},
    "api_key header": {"type": "api_key", "name": "X-Key", "value": SECRET, "in": "header"},
    "api_key query": {"type": "api_key", "name": "key", "value": SECRET, "in": "query"},
    "basic": {"type": "basic", "username": "me", "password": SECRET},
}


def is_proven(kind: str, request: Received) -> bool:
    basic = base64.b64encode(f"me:{SECRET}".encode()).decode()
    return {
        "bearer": request.headers["Authorization"] == f"Bearer {SECRET}",
        "api_key header": request.headers["X-Key"] == SECRET,
        "api_key query": query_of(request).get("key") == SECRET,
        "basic": request.headers["Authorization"] == f"Basic {basic}",
    }[kind]


@pytest.mark.parametrize("kind", AUTH)
def test_each_page_is_asked_for_with_credentials(
    someone: ApiClient, receiver: Receiver, kind: str
) -> None:
    remote = RemoteApi(receiver, items(7))
    stream = make_stream(someone, remote.url("/links"), auth=AUTH[kind], **PAGINATIONS["/links"])

    run(someone, stream)

    assert len(receiver.requests) == 3
    assert all(is_proven(kind, request) for request in receiver.requests)


@pytest.mark.parametrize("kind", AUTH)
@pytest.mark.parametrize("by", ["next link", "redirect"])
def test_no_other_origin_gets_a_credential(
    someone: ApiClient, receiver: Receiver, kind: str, by: str
) -> None:
    with Receiver() as other:
        other.answer("/", as_json({"results": [{"id": 2}]}))
        link = as_json({"results": [{"id": 1}], "next": other.url("/")})
        moved = Answer(302, b"", {"Location": other.url("/")})
        receiver.answer("/", link if by == "next link" else moved)
        stream = make_stream(
            someone,
            receiver.url("/"),
            auth=AUTH[kind],
            headers={"X-Api-Token": SECRET, "X-Team": "a"},
            **PAGINATIONS["/links"],
        )

        assert run(someone, stream)["status"] == "succeeded"

        (strange,) = other.requests
    assert SECRET not in str(strange.headers) + strange.query
    assert strange.headers["Authorization"] is None
    assert strange.headers["X-Team"] is None
    assert receiver.requests[0].headers["X-Api-Token"] == SECRET


def test_secrets_are_nowhere_to_be_read(someone: ApiClient, receiver: Receiver) -> None:
    """Not in an answer, an event, an error that quotes the server, nor as they are in a table."""

    def echo(request: Received) -> Answer:
        told = f"You sent {request.headers} and {request.query}"
        return Answer(403, told.encode())

    remote = RemoteApi(receiver, items(4))
    secret = "sesame-7f3a"
    stream = make_stream(
        someone,
        remote.url("/links"),
        auth={"type": "api_key", "name": "signature", "value": secret, "in": "query"},
        headers={"X-Api-Key": secret},
        params={"access_token": secret},
        **PAGINATIONS["/links"],
    )
    run(someone, stream)
    receiver.answer("/links", echo)

    failed = run(someone, stream)

    assert "You sent" in failed["error"]["detail"]
    answers = [
        someone.get(f"/api/v1/streams{path}").content.decode()
        for path in ("", f"/{stream['id']}", f"/{stream['id']}/runs", f"/{stream['id']}/records")
    ]
    events = [bytes(event.payload).decode() for event in Event.objects.all()]
    assert secret not in "".join([*answers, *events, str(failed), str(stream)])
    with connection.cursor() as cursor:
        for model in (Stream, Progress, Run, Page):
            cursor.execute(f"SELECT t::text FROM {model._meta.db_table} t")
            assert secret not in str(cursor.fetchall())
    shown = get(someone, stream)
    assert shown["headers"] == {"X-Api-Key": None}
    assert shown["params"] == {"access_token": None}
    assert shown["auth"] == {"type": "api_key", "name": "signature", "in": "query"}


def test_what_is_shown_can_be_sent_back_and_keeps_the_secrets(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, items(1))
    stream = make_stream(
        someone, remote.url("/all"), auth=AUTH["bearer"], headers={"X-Key": SECRET, "X-Team": "a"}
    )

    answer = someone.patch(f"/api/v1/streams/{stream['id']}", get(someone, stream))

    assert answer.status_code == 200, answer.content
    assert answer.json()["version"] == stream["version"]
    run(someone, stream)
    assert receiver.requests[0].headers["Authorization"] == f"Bearer {SECRET}"
    assert receiver.requests[0].headers["X-Key"] == SECRET


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://127.0.0.1:9999/"},
        {"auth": {"type": "basic", "username": "me"}},
        {"auth": {"type": "api_key", "name": "x", "in": "header"}},
        {"url": "http://127.0.0.1:9999/", "headers": {"X-Key": None}, "auth": {"type": "none"}},
    ],
)
def test_a_change_cannot_lead_stored_secrets_elsewhere(
    someone: ApiClient, receiver: Receiver, change: dict[str, Any]
) -> None:
    remote = RemoteApi(receiver, items(1))
    stream = make_stream(
        someone, remote.url("/all"), auth=AUTH["bearer"], headers={"X-Key": SECRET}
    )

    answer = someone.patch(f"/api/v1/streams/{stream['id']}", change)

    assert answer.status_code == 400, answer.content
    assert get(someone, stream)["url"] == remote.url("/all")


def test_with_the_secrets_sent_again_it_may_move(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, "http://127.0.0.1:9999/", auth=AUTH["bearer"])
    receiver.answer("/", as_json(items(1)))

    answer = someone.patch(
        f"/api/v1/streams/{stream['id']}", {"url": receiver.url("/"), "auth": AUTH["bearer"]}
    )

    assert answer.status_code == 200
    assert run(someone, stream)["status"] == "succeeded"
    assert receiver.requests[0].headers["Authorization"] == f"Bearer {SECRET}"


class TokenServer:
    """OAuth 2: gives token after token; the API takes only the newest, when it is not revoked."""

    def __init__(self, receiver: Receiver, expires_in: Any = 3600, *, wants_basic: bool = False):
        self.issued = 0
        self.revoked = False
        self.expires_in = expires_in
        self.wants_basic = wants_basic
        self.remote = RemoteApi(receiver, items(7))
        receiver.answer("/token", self._token)
        receiver.answer("/links", self._links)

    def _token(self, request: Received) -> Answer:
        form = request.body.decode()
        basic = base64.b64encode(b"client:shh").decode()
        is_known = (
            request.headers["Authorization"] == f"Basic {basic}"
            if self.wants_basic
            else "client_secret=shh" in form
        )
        if not is_known or "grant_type=client_credentials" not in form:
            return Answer(401, b'{"error": "invalid_client"}')
        self.issued += 1
        self.revoked = False
        token = {"access_token": f"token-{self.issued}", "token_type": "bearer"}
        return as_json(token | {"expires_in": self.expires_in})

    def _links(self, request: Received) -> Answer:
        if self.revoked or request.headers["Authorization"] != f"Bearer token-{self.issued}":
            return Answer(401, b"expired")
        return self.remote._links(request)


def oauth2(receiver: Receiver) -> dict[str, str]:
    return {
        "type": "oauth2_client_credentials",
        "token_url": receiver.url("/token"),
        "client_id": "client",
        "client_secret": "shh",
        "scope": "read",
    }


@pytest.mark.parametrize("wants_basic", [False, True])
def test_a_token_is_fetched_once_and_kept(
    someone: ApiClient, receiver: Receiver, wants_basic: bool
) -> None:
    server = TokenServer(receiver, wants_basic=wants_basic)
    stream = make_stream(
        someone, receiver.url("/links"), auth=oauth2(receiver), **PAGINATIONS["/links"]
    )

    for _ in range(2):
        assert run(someone, stream)["status"] == "succeeded"

    assert server.issued == 1
    assert present(someone, stream) == server.remote.items


@pytest.mark.django_db(transaction=True)
def test_a_token_of_earlier_credentials_is_not_kept(someone: ApiClient, receiver: Receiver) -> None:
    """They were changed while it was asked for."""
    remote = RemoteApi(receiver, items(7))
    auth = oauth2(receiver)
    stream = make_stream(someone, remote.url("/links"), auth=auth, **PAGINATIONS["/links"])
    path = f"/api/v1/streams/{stream['id']}"

    def give(request: Received) -> Answer:
        if len(receiver.at("/token")) == 1:
            changed = someone.patch(path, {"auth": {**auth, "client_secret": "another"}})
            assert changed.status_code == 200, changed.content
            connections.close_all()
        secret = parse_qs(request.body.decode())["client_secret"][0]
        return as_json({"access_token": f"of-{secret}", "token_type": "bearer"})

    receiver.answer("/token", give)

    assert run(someone, stream)["status"] == "succeeded"

    shown = [request.headers["Authorization"] for request in receiver.at("/links")]
    assert shown[-3:] == ["Bearer of-another"] * 3
    assert present(someone, stream) == remote.items


@pytest.mark.parametrize("expires_in", [0, -5, 3600, "3600", None, "soon", 1e30])
def test_a_token_that_is_refused_is_renewed_once(
    someone: ApiClient, receiver: Receiver, expires_in: Any
) -> None:
    """Whatever the server said about its life; whose clock is wrong does not matter."""
    server = TokenServer(receiver, expires_in)
    stream = make_stream(
        someone, receiver.url("/links"), auth=oauth2(receiver), **PAGINATIONS["/links"]
    )
    run(someone, stream)
    server.revoked = True

    assert run(someone, stream)["status"] == "succeeded"
    assert present(someone, stream) == server.remote.items


def test_a_token_that_is_refused_when_new_fails_the_run(
    someone: ApiClient, receiver: Receiver
) -> None:
    TokenServer(receiver)
    receiver.answer("/links", Answer(401, b"never"))
    stream = make_stream(someone, receiver.url("/links"), auth=oauth2(receiver))

    ended = run(someone, stream)

    assert (ended["status"], ended["error"]["code"]) == ("failed", "unauthorized")
    assert len(receiver.at("/links")) == 2


@pytest.mark.parametrize(
    "answer",
    [
        Answer(403, b'{"error": "access_denied"}'),
        Answer(200, b"not JSON"),
        as_json({"token": "x"}),
        as_json({"access_token": "a\r\nX-Injected: 1"}),
        as_json([1]),
    ],
)
def test_a_token_server_without_a_token_fails_the_run(
    someone: ApiClient, receiver: Receiver, answer: Answer
) -> None:
    receiver.answer("/token", answer)
    stream = make_stream(someone, receiver.url("/links"), auth=oauth2(receiver))

    ended = run(someone, stream)

    assert ended["status"] == "failed"
    assert ended["error"]["code"] in ("token_refused", "not_json")
    assert receiver.at("/links") == []


def test_a_token_url_of_a_private_address_is_refused(
    someone: ApiClient, receiver: Receiver
) -> None:
    auth = {**oauth2(receiver), "token_url": "http://10.0.0.1/token"}

    answer = someone.post("/api/v1/streams", {"name": "x", "url": receiver.url("/"), "auth": auth})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/auth/token_url"


def test_half_a_secret_is_not_shown_either(someone: ApiClient, receiver: Receiver) -> None:
    """An answer is cut when its secrets have been taken out."""
    long = "s3cret" * 100
    receiver.answer("/", Answer(401, f"{'x' * 200} {long} is wrong".encode()))
    stream = make_stream(someone, receiver.url("/"), auth={"type": "bearer", "token": long})

    error = run(someone, stream)["error"]

    assert error["detail"].endswith("x *** is wrong.")


@pytest.mark.parametrize("kind", ["oauth2", "basic"])
def test_what_is_made_of_a_secret_is_not_shown_when_it_comes_back(
    someone: ApiClient, receiver: Receiver, kind: str
) -> None:
    def refuse(request: Received) -> Answer:
        return Answer(403, f"bad {request.headers['Authorization']}".encode())

    TokenServer(receiver)
    receiver.answer("/", refuse)
    auth = oauth2(receiver) if kind == "oauth2" else AUTH["basic"]
    stream = make_stream(someone, receiver.url("/"), auth=auth)

    error = run(someone, stream)["error"]

    assert error["detail"] == "The server answers 403: bad ***."
