"""Endpoints over the API."""

import socket
from typing import Any

import pytest
from django.db import connection
from standardwebhooks import Webhook

from apps.webhooks.models import Endpoint
from tests.conftest import MakeClient
from tests.support import ApiClient, Receiver

pytestmark = pytest.mark.django_db

URL = "/api/v1/webhook-endpoints"
BODY = {"url": "https://93.184.215.14/hook", "event_types": ["*"]}


def created(client: ApiClient, **fields: Any) -> dict[str, Any]:
    answer = client.post(URL, BODY | fields)
    assert answer.status_code == 201, answer.content
    body: dict[str, Any] = answer.json()
    return body


def faults(answer: Any) -> list[tuple[str, str]]:
    assert answer.status_code == 400, answer.content
    return [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]]


def test_creating_shows_the_secret_once(api: MakeClient) -> None:
    client = api("webhooks:write")

    made = created(client, description="stock")

    assert made["secret"].startswith("whsec_")
    assert made["status"] == "enabled"
    assert made["disabled_reason"] is None
    assert made["description"] == "stock"
    seen = client.get(f"{URL}/{made['id']}").json()
    assert seen == {name: value for name, value in made.items() if name != "secret"}
    assert client.get(URL).json()["results"] == [seen]


def test_the_secret_is_encrypted_at_rest(api: MakeClient) -> None:
    made = created(api("webhooks:write"))

    with connection.cursor() as cursor:
        cursor.execute("SELECT e::text FROM webhooks_endpoint e")
        row = cursor.fetchone()[0]

    assert made["secret"] not in row
    assert made["secret"].removeprefix("whsec_").encode().hex() not in row
    assert Endpoint.objects.get().secret == made["secret"]


def test_a_replayed_creation_makes_one_endpoint_and_shows_no_secret(api: MakeClient) -> None:
    client = api("webhooks:write")

    first = client.post(URL, BODY, idempotency_key="k")
    second = client.post(URL, BODY, idempotency_key="k")

    assert first.json()["secret"]
    assert second.status_code == 201
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.json() == {**first.json(), "secret": None}
    assert Endpoint.objects.count() == 1


def test_a_replayed_rotation_shows_no_secret(api: MakeClient) -> None:
    client = api("webhooks:write")
    path = f"{URL}/{created(client)['id']}/rotate-secret"

    first = client.post(path, {"grace_seconds": 60}, idempotency_key="k")
    second = client.post(path, {"grace_seconds": 60}, idempotency_key="k")

    assert first.status_code == second.status_code == 200
    assert first.json()["secret"]
    assert second.json()["secret"] is None
    assert Endpoint.objects.get().secret == first.json()["secret"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"url": None}, ("/url", "null")),
        ({"url": ""}, ("/url", "blank")),
        ({"url": 5}, ("/url", "invalid")),
        ({"url": "example.com"}, ("/url", "invalid_url")),
        ({"url": "ftp://example.com"}, ("/url", "invalid_url")),
        ({"url": "https://u:p@example.com"}, ("/url", "invalid_url")),
        ({"url": "https://example.com:22"}, ("/url", "invalid_url")),
        ({"url": "https://example.com/ x"}, ("/url", "invalid_url")),
        ({"url": "https://example.com/" + "x" * 3000}, ("/url", "invalid_url")),
        ({"event_types": []}, ("/event_types", "min_length")),
        ({"event_types": "deal.*"}, ("/event_types", "not_a_list")),
        ({"event_types": ["*"] * 51}, ("/event_types", "max_length")),
        ({"event_types": ["Deal"]}, ("/event_types/0", "invalid_pattern")),
        ({"event_types": ["*", "*.*"]}, ("/event_types/1", "invalid_pattern")),
        ({"event_types": ["nothing.*"]}, ("/event_types/0", "unknown_event_type")),
        ({"event_types": ["webhook_endpoint.born"]}, ("/event_types/0", "unknown_event_type")),
        ({"event_types": [7]}, ("/event_types/0", "invalid")),
        ({"event_types": ["deal." + "x" * 900_000]}, ("/event_types/0", "unknown_event_type")),
        ({"description": "x" * 501}, ("/description", "max_length")),
        ({"ordered": "yes"}, ("/ordered", "invalid")),
        ({"ordered": None}, ("/ordered", "null")),
        ({"on_failure": "skip"}, ("/on_failure", "invalid_choice")),
        ({"on_failure": ["park"]}, ("/on_failure", "invalid_choice")),
        ({"rate_limit": 0}, ("/rate_limit", "min_value")),
        ({"rate_limit": 1001}, ("/rate_limit", "max_value")),
        ({"rate_limit": 1.5}, ("/rate_limit", "invalid")),
        ({"secret": "whsec_mine"}, ("/secret", "unknown_field")),
        ({"status": "disabled"}, ("/status", "unknown_field")),
    ],
)
def test_what_is_wrong_is_pointed_at(
    api: MakeClient, change: dict[str, Any], expected: tuple[str, str]
) -> None:
    answer = api("webhooks:write").post(URL, BODY | change)

    assert faults(answer) == [expected]
    assert not Endpoint.objects.exists()


def test_a_retry_is_answered_also_when_the_address_is_no_good_any_more(
    api: MakeClient, settings: Any
) -> None:
    client = api("webhooks:write")
    asked = {"url": "http://127.0.0.1:8000/", "event_types": ["*"]}
    first = client.post(URL, asked, idempotency_key="once")
    settings.OUTGOING_ALLOWED_NETWORKS = []

    again = client.post(URL, asked, idempotency_key="once")

    assert (again.status_code, again.json()) == (201, {**first.json(), "secret": None})
    assert again.headers["Idempotent-Replayed"] == "true"
    assert client.post(URL, asked, idempotency_key="other").status_code == 400


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/",
        "http://localhost/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://127.1/",
        "http://0/",
    ],
)
def test_an_address_that_is_not_public_is_refused(api: MakeClient, settings: Any, url: str) -> None:
    settings.OUTGOING_ALLOWED_NETWORKS = []
    client = api("webhooks:write")
    path = f"{URL}/{created(client)['id']}"

    for answer in (client.post(URL, BODY | {"url": url}), client.patch(path, {"url": url})):
        assert faults(answer) == [("/url", "address_not_allowed")]
        assert answer.json()["code"] == "address_not_allowed"
    assert Endpoint.objects.count() == 1


def test_a_name_that_does_not_resolve_now_is_taken(
    api: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    made = created(api("webhooks:write"), url="https://later.example/hook")

    assert made["url"] == "https://later.example/hook"


def test_dns_is_asked_before_any_transaction_is_open(
    api: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    depths: list[int] = []

    def vet(target: Any) -> None:
        depths.append(len(connection.savepoint_ids))

    monkeypatch.setattr("apps.common.outgoing.guard.vet", vet)
    outside = len(connection.savepoint_ids)

    api("webhooks:write").post(URL, BODY, idempotency_key="k")

    assert depths == [outside]


def test_changing_an_endpoint(api: MakeClient) -> None:
    client = api("webhooks:write")
    made = created(client)
    path = f"{URL}/{made['id']}"

    answer = client.patch(path, {"event_types": ["webhook_endpoint.*"], "description": "new"})

    assert answer.status_code == 200
    assert answer.json()["event_types"] == ["webhook_endpoint.*"]
    assert answer.json()["version"] == 2
    assert answer.headers["ETag"] == '"2"'
    again = client.patch(path, answer.json())
    assert again.json()["version"] == 2, "what was sent back unchanged is no change"


def test_read_only_members_cannot_be_changed(api: MakeClient) -> None:
    client = api("webhooks:write")
    path = f"{URL}/{created(client)['id']}"

    assert faults(client.patch(path, {"status": "disabled"})) == [("/status", "read_only")]


def test_conditional_requests(api: MakeClient) -> None:
    client = api("webhooks:write")
    path = f"{URL}/{created(client)['id']}"

    assert client.get(path, headers={"If-None-Match": '"1"'}).status_code == 304
    stale = {"If-Match": '"9"'}
    assert client.patch(path, {"description": "x"}, headers=stale).status_code == 412
    assert client.delete(path, headers=stale).status_code == 412
    assert client.patch(path, {"description": "x"}, headers={"If-Match": '"1"'}).status_code == 200


def test_a_deleted_endpoint_is_gone_and_its_secret_with_it(api: MakeClient) -> None:
    client = api("webhooks:write")
    path = f"{URL}/{created(client)['id']}"

    assert client.delete(path).status_code == 204

    assert client.get(path).status_code == 404
    assert client.delete(path).status_code == 404
    assert client.patch(path, {"description": "x"}).status_code == 404
    assert client.get(URL).json()["results"] == []
    for call in ("rotate-secret", "enable", "test"):
        assert client.post(f"{path}/{call}").status_code == 404
    assert Endpoint.objects.get().secret == ""


def test_rotation_is_limited_and_a_short_grace_ends_the_earlier_ones(api: MakeClient) -> None:
    client = api("webhooks:write")
    path = f"{URL}/{created(client)['id']}/rotate-secret"

    for _ in range(10):
        assert client.post(path).status_code == 200
    refused = client.post(path)

    assert refused.status_code == 409
    assert refused.json()["code"] == "too_many_secrets"
    assert client.post(path, {"grace_seconds": 0}).status_code == 200
    assert Endpoint.objects.get().retired_secrets.count() == 0
    for grace in (-1, 7 * 24 * 3600 + 1, "60", True, 1.5):
        assert client.post(path, {"grace_seconds": grace}).status_code == 400


def test_another_account_finds_nothing(api: MakeClient) -> None:
    path = f"{URL}/{created(api('webhooks:write'))['id']}"
    stranger = api("webhooks:write")

    answers = [
        stranger.get(path),
        stranger.patch(path, {"description": "x"}),
        stranger.delete(path),
        stranger.post(f"{path}/rotate-secret"),
        stranger.post(f"{path}/enable"),
        stranger.post(f"{path}/test"),
        stranger.get(f"{path}/deliveries"),
    ]

    assert [answer.status_code for answer in answers] == [404] * len(answers)
    assert stranger.get(URL).json()["results"] == []
    assert Endpoint.objects.get().version == 1


def test_scopes(api: MakeClient) -> None:
    path = f"{URL}/{created(api('webhooks:write'))['id']}"
    reader, other = api("webhooks:read"), api("orders:write")

    assert reader.get(URL).status_code == 200
    assert reader.post(URL, BODY).status_code == 403
    assert other.get(URL).status_code == 403
    assert reader.post(f"{path}/rotate-secret").status_code == 403


@pytest.mark.django_db(transaction=True)
def test_a_test_event_goes_to_that_endpoint_alone(
    api: MakeClient, receiver: Receiver, send: Any
) -> None:
    client = api()
    made = created(client, url=receiver.url("/one"), event_types=["webhook_endpoint.disabled"])
    created(client, url=receiver.url("/other"), event_types=["*"])

    answer = client.post(f"{URL}/{made['id']}/test")
    send()

    assert answer.status_code == 202
    [request] = receiver.wait_for(1, path="/one")
    body = Webhook(made["secret"]).verify(request.body, dict(request.headers.items()))
    assert body["type"] == "webhook_endpoint.test"
    assert body["data"]["object"]["id"] == made["id"]
    assert "secret" not in body["data"]["object"]
    assert receiver.at("/other") == []
    seen = client.get(f"/api/v1/deliveries/{answer.json()['id']}").json()
    assert seen["status"] == "delivered"
    assert [event["type"] for event in client.get("/api/v1/events").json()["results"]] == [
        "webhook_endpoint.test"
    ]
