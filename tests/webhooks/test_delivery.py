"""From an event to a signed request and its record, against real receivers on real sockets."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from standardwebhooks import Webhook

from apps.common.ids import uuid7
from apps.events.models import Event
from apps.webhooks.models import Attempt, Due
from apps.webhooks.retries import SCHEDULE
from tests.conftest import MakeClient
from tests.support import Answer, Receiver, wait_until
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.situations import headers_of, make_due, only_delivery

pytestmark = pytest.mark.django_db(transaction=True)

Send = Callable[[], None]


def test_the_bytes_stored_arrive_signed(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    endpoint = make_endpoint(receiver.url("/hook?key=1"))
    event_id = publish_event(endpoint.account, object={"näme": "\u2028 <&> é"})

    send()

    [request] = receiver.wait_for(1)
    assert request.method == "POST"
    assert (request.path, request.query) == ("/hook", "key=1")
    assert request.body == bytes(Event.objects.get().payload)
    assert Webhook(str(endpoint.secret)).verify(request.body, headers_of(request))
    assert request.headers["webhook-id"] == str(event_id)
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == "Tradepost/1"


def test_what_happened_is_recorded(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    api: MakeClient,
) -> None:  # fmt: skip
    receiver.answer("/", Answer(200, b"thank you"))
    endpoint = make_endpoint(receiver.url())
    event_id = publish_event(endpoint.account)

    send()

    delivery = only_delivery()
    seen = api(account=endpoint.account).get(f"/api/v1/deliveries/{delivery.id}").json()
    assert seen["status"] == "delivered"
    assert seen["event_id"] == str(event_id)
    assert seen["attempt_count"] == 1
    assert seen["last_status_code"] == 200
    assert seen["next_attempt_at"] is None
    [attempt] = seen["attempts"]
    assert attempt["response_body"] == "thank you"
    assert attempt["response_body_is_base64"] is False
    assert attempt["request_headers"]["webhook-id"] == str(event_id)
    assert str(endpoint.secret).removeprefix("whsec_") not in str(attempt)
    assert not Due.objects.exists()


def test_a_failure_is_retried_with_the_same_id_and_a_fresh_signature(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    receiver.answer("/", Answer(500, b"\xff\xfe"), Answer(204))
    endpoint = make_endpoint(receiver.url())
    event_id = publish_event(endpoint.account)

    send()

    delivery = only_delivery()
    assert (delivery.status, delivery.attempt_count, delivery.retry_step) == ("pending", 1, 1)
    assert SCHEDULE[0] <= seconds_until_retry() <= SCHEDULE[0] * 1.1
    send()
    assert len(receiver.requests) == 1, "not before its time"

    wait_until(lambda: int(receiver.requests[0].headers["webhook-timestamp"]) < unix_now())
    make_due()
    send()

    first, second = receiver.wait_for(2)
    for request in (first, second):
        assert request.headers["webhook-id"] == str(event_id)
        assert Webhook(str(endpoint.secret)).verify(request.body, headers_of(request))
    assert first.body == second.body
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert only_delivery().status == "delivered"
    assert list(Attempt.objects.order_by("number").values_list("number", "status_code")) == [
        (1, 500),
        (2, 204),
    ]


def seconds_until_retry() -> float:
    """From when the outcome was recorded."""
    due_at = Due.objects.get().due_at
    assert due_at is not None
    return (due_at - only_delivery().updated_at).total_seconds()


def unix_now() -> int:

    return int(time.time())


def test_after_the_last_retry_it_has_failed(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    receiver.answer("/", Answer(503))
    publish_event(make_endpoint(receiver.url()).account)

    for _ in range(len(SCHEDULE) + 1):
        send()
        make_due()

    delivery = only_delivery()
    assert (delivery.status, delivery.reason) == ("failed", "exhausted")
    assert delivery.attempt_count == len(receiver.requests) == len(SCHEDULE) + 1
    assert not Due.objects.exists()


def test_retry_after_is_waited_for(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    receiver.answer("/", Answer(429, headers={"Retry-After": "3600"}))
    publish_event(make_endpoint(receiver.url()).account)

    send()

    assert 3600 <= seconds_until_retry() <= 3600 * 1.1


def test_retry_after_on_another_status_is_not(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    receiver.answer("/", Answer(500, headers={"Retry-After": "3600"}))
    publish_event(make_endpoint(receiver.url()).account)

    send()

    assert seconds_until_retry() < 10


def test_a_redirect_is_a_failure_and_not_followed(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    receiver.answer("/", Answer(302, headers={"Location": receiver.url("/inside")}))
    publish_event(make_endpoint(receiver.url()).account)

    send()

    assert receiver.at("/inside") == []
    assert only_delivery().status == "pending"
    assert Attempt.objects.get().status_code == 302


def test_ids_made_in_sql_are_uuid7_by_the_databases_clock(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    publish_event(make_endpoint(receiver.url()).account)
    send()

    delivery = only_delivery()
    assert (delivery.id.version, delivery.id.variant) == (7, uuid7().variant)
    made = delivery.created_at.timestamp()
    assert made - 1 < (delivery.id.int >> 80) / 1000 < made + 1


def test_listing_deliveries(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    api: MakeClient, django_assert_max_num_queries: Any,
) -> None:  # fmt: skip
    receiver.answer("/", Answer(500), Answer(204))
    endpoint = make_endpoint(receiver.url())
    client, stranger = api(account=endpoint.account), api()
    path = f"/api/v1/webhook-endpoints/{endpoint.id}/deliveries"
    for _ in range(3):
        publish_event(endpoint.account)
        send()

    with django_assert_max_num_queries(6):
        listed = client.get(path).json()["results"]

    assert [one["status"] for one in listed] == ["delivered", "delivered", "pending"]
    assert listed[2]["next_attempt_at"] is not None
    assert listed[0]["id"] > listed[1]["id"] > listed[2]["id"]
    assert len(client.get(path, status="pending").json()["results"]) == 1
    assert len(client.get(path, event_type="webhook_endpoint.*").json()["results"]) == 3
    assert client.get(path, event_type="webhook_endpoint.test").json()["results"] == []
    assert len(client.get(path, since=listed[1]["created_at"]).json()["results"]) == 2
    assert client.get(path, since="2999-01-01T00:00:00Z").json()["results"] == []
    assert len(client.get(path, since="0001-01-01T00:00:00Z").json()["results"]) == 3
    for name, value in {"status": "sent", "since": "x", "event_type": "%", "unknown": "1"}.items():
        assert client.request("GET", path, query={name: value}).status_code == 400
    delivery = listed[0]["id"]
    assert stranger.get(f"/api/v1/deliveries/{delivery}").status_code == 404
    assert stranger.post(f"/api/v1/deliveries/{delivery}/redeliver").status_code == 404
    seen = client.get(f"/api/v1/deliveries/{delivery}")
    unchanged = {"If-None-Match": seen.headers["ETag"]}
    assert client.get(f"/api/v1/deliveries/{delivery}", headers=unchanged).status_code == 304
