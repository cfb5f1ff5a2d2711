"""From an event to a signed request and its record, against real receivers on real sockets."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError, connection, connections
from django.db.models import F
from django.db.models.functions import Now
from standardwebhooks import Webhook, WebhookVerificationError

from apps.common.ids import uuid7
from apps.events.channels import channel_of, join, leave
from apps.events.dispatch import dispatch
from apps.events.models import Event
from apps.webhooks import services
from apps.webhooks.claims import claim
from apps.webhooks.delivering import delivering
from apps.webhooks.fanout import NO_ENDPOINT
from apps.webhooks.leases import OpenLeases
from apps.webhooks.limits import ENDPOINT_CAP, MAX_CLAIMS
from apps.webhooks.models import Attempt, Delivery, Due, Endpoint, RetiredSecret
from apps.webhooks.retries import SCHEDULE
from apps.webhooks.sender import Sender
from apps.webhooks.tasks import take_name
from tests.conftest import MakeAccount, MakeClient
from tests.support import Answer, Receiver, wait_until
from tests.webhooks.conftest import MakeEndpoint, PublishEvent

pytestmark = pytest.mark.django_db(transaction=True)

Send = Callable[[], None]


def only_delivery() -> Delivery:
    return Delivery.objects.get()


def make_due() -> None:
    """As if the time of every next try had come."""
    Due.objects.filter(ready=False, lease_id=None).update(due_at=Now())


def expire_leases() -> None:
    """As if 90 s had passed."""
    Due.objects.filter(lease_id__isnull=False).update(
        due_at=Now() - timedelta(seconds=1), lease_until=Now() - timedelta(seconds=1)
    )


def dispatch_slowly() -> None:
    """Dispatch so that deliveries wait to be claimed."""
    delivering.sender.close()
    dispatch()
    delivering.sender._closing = False


def start_worker(name: str) -> None:
    """As if this process had just started, as the Celery worker `name`."""
    delivering.leases = OpenLeases()
    take_name(sender=SimpleNamespace(hostname=name))


@contextmanager
def out_of_reach(table: str) -> Iterator[None]:
    """While the block runs, statements that need this table fail."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table}_away RENAME TO {table}")


def headers_of(request: Any) -> dict[str, str]:
    return dict(request.headers.items())


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
    wait = Due.objects.annotate(wait=F("due_at") - Now()).values_list("wait", flat=True).get()
    assert SCHEDULE[0] - 1 < wait.total_seconds() < SCHEDULE[0] * 1.1
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

    wait = Due.objects.annotate(wait=F("due_at") - Now()).values_list("wait", flat=True).get()
    assert 3590 < wait.total_seconds() < 3600 * 1.1


def test_retry_after_on_another_status_is_not(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    receiver.answer("/", Answer(500, headers={"Retry-After": "3600"}))
    publish_event(make_endpoint(receiver.url()).account)

    send()

    wait = Due.objects.annotate(wait=F("due_at") - Now()).values_list("wait", flat=True).get()
    assert wait.total_seconds() < 10


def test_a_redirect_is_a_failure_and_not_followed(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    receiver.answer("/", Answer(302, headers={"Location": receiver.url("/inside")}))
    publish_event(make_endpoint(receiver.url()).account)

    send()

    assert receiver.at("/inside") == []
    assert only_delivery().status == "pending"
    assert Attempt.objects.get().status_code == 302


def test_gone_disables_the_endpoint_and_parks_its_backlog(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    receiver.answer("/", Answer(500), Answer(410))
    endpoint = make_endpoint(receiver.url())
    witness = make_endpoint(
        receiver.url("/witness"), account=endpoint.account, event_types=["webhook_endpoint.*"]
    )
    publish_event(endpoint.account)
    send()
    publish_event(endpoint.account)

    send()

    endpoint.refresh_from_db()
    assert (endpoint.status, endpoint.disabled_reason) == ("disabled", "gone")
    owed = Delivery.objects.filter(endpoint=endpoint)
    assert {(one.status, one.reason) for one in owed} == {("parked", "endpoint_disabled")}
    send()
    told = [one.json() for one in receiver.at("/witness")]
    about = [one for one in told if one["data"]["object"].get("id") == str(endpoint.id)]
    assert [one["type"] for one in about] == ["webhook_endpoint.disabled"]
    assert about[0]["data"]["object"]["disabled_reason"] == "gone"
    assert len(receiver.at("/")) == 2, "the endpoint itself is told nothing"
    publish_event(endpoint.account)
    send()
    assert len(receiver.at("/")) == 2
    assert Delivery.objects.filter(endpoint=witness, status="delivered").count() == 4


def test_enabling_sends_what_was_parked(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    api: MakeClient,
) -> None:  # fmt: skip
    receiver.answer("/", Answer(410), Answer(204))
    endpoint = make_endpoint(receiver.url())
    client = api(account=endpoint.account)
    publish_event(endpoint.account)
    send()
    assert client.post(f"/api/v1/webhook-endpoints/{endpoint.id}/test").status_code == 409

    answer = client.post(f"/api/v1/webhook-endpoints/{endpoint.id}/enable")
    send()

    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["disabled_reason"]) == ("enabled", None)
    assert len(receiver.wait_for(2)) == 2
    assert only_delivery().status == "delivered"
    again = client.post(f"/api/v1/webhook-endpoints/{endpoint.id}/enable").json()
    assert again["version"] == answer.json()["version"]


def test_gone_from_an_address_that_was_changed_meanwhile_disables_nothing(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    endpoint = make_endpoint(receiver.url("/old"))

    def move(_: Any) -> Answer:
        Endpoint.objects.update(url=receiver.url("/new"), version=F("version") + 1)
        return Answer(410)

    receiver.answer("/old", move)
    publish_event(endpoint.account)

    send()

    endpoint.refresh_from_db()
    assert endpoint.status == "enabled"


def test_during_the_grace_time_both_secrets_verify(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    endpoint = make_endpoint(receiver.url())
    old = str(endpoint.secret)
    publish_event(endpoint.account)
    send()  # so that this process remembers the old keyring

    new = services.rotate_secret(
        account_id=endpoint.account_id, endpoint_id=endpoint.id, grace_seconds=3600
    ).secret
    publish_event(endpoint.account)
    send()

    request = receiver.wait_for(2)[1]
    assert len(request.headers["webhook-signature"].split()) == 2
    for secret in (old, new):
        assert Webhook(secret).verify(request.body, headers_of(request))

    RetiredSecret.objects.update(expires_at=Now() - timedelta(seconds=1))
    Endpoint.objects.update(version=F("version") + 1)  # another process remembers nothing
    publish_event(endpoint.account)
    send()

    request = receiver.wait_for(3)[2]
    assert Webhook(new).verify(request.body, headers_of(request))
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(request.body, headers_of(request))


def test_without_grace_the_old_secret_ends_at_once(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    endpoint = make_endpoint(receiver.url())
    new = services.rotate_secret(
        account_id=endpoint.account_id, endpoint_id=endpoint.id, grace_seconds=0
    ).secret
    publish_event(endpoint.account)

    send()

    [request] = receiver.wait_for(1)
    assert len(request.headers["webhook-signature"].split()) == 1
    assert Webhook(new).verify(request.body, headers_of(request))


def test_a_huge_answer_is_kept_up_to_the_cap(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    api: MakeClient,
) -> None:  # fmt: skip
    receiver.answer("/", Answer(200, b"\xff" * 3_000_000))
    endpoint = make_endpoint(receiver.url())
    publish_event(endpoint.account)

    send()

    delivery = only_delivery()
    assert delivery.status == "delivered"
    assert bytes(Attempt.objects.get().response_body) == b"\xff" * 20_000
    seen = api(account=endpoint.account).get(f"/api/v1/deliveries/{delivery.id}").json()
    assert seen["attempts"][0]["response_body_is_base64"] is True


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (b"", "disconnected"),
        (b"garbage\r\n\r\n", "invalid_response"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "invalid_response"),
    ],
)
def test_a_receiver_that_misbehaves_is_tried_again(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, send: Send, answer: bytes, word: str
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):  # aiohttp asks once more when a connection was closed unused
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    publish_event(make_endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}/").account)

    send()

    listener.close()
    assert only_delivery().status == "pending"
    attempt = Attempt.objects.get()
    assert (attempt.status_code, attempt.error) == (None, word)


def test_a_closed_port_and_a_refused_address_say_no_more_than_a_word(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    make_account: MakeAccount, settings: Any,
) -> None:  # fmt: skip
    account = make_account()
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    make_endpoint(f"http://127.0.0.1:{port}/", account=account)
    publish_event(account)
    send()
    assert [one.error for one in Attempt.objects.all()] == ["connect_failed"]

    settings.OUTGOING_ALLOWED_NETWORKS = []
    Endpoint.objects.update(url=receiver.url("/secret"))
    make_due()
    send()

    newest = Attempt.objects.order_by("-number")[0]
    assert newest.error == "address_not_allowed"
    assert (newest.status_code, bytes(newest.response_body)) == (None, b"")
    assert receiver.requests == []


def test_a_name_that_turned_private_after_creation_is_refused_at_connect(
    api: MakeClient, publish_event: PublishEvent, receiver: Receiver, send: Send,
    settings: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    settings.OUTGOING_ALLOWED_NETWORKS = []
    usual = socket.getaddrinfo
    address = "93.184.215.14"

    def answer(host: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
        if host != "rebound.example":
            return list(usual(host, port, *args, **options))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    client = api()
    made = client.post(
        "/api/v1/webhook-endpoints",
        {"url": f"http://rebound.example:{receiver.port}/", "event_types": ["*"]},
    )
    assert made.status_code == 201

    address = "127.0.0.1"
    publish_event(client.account)
    send()

    assert Attempt.objects.get().error == "address_not_allowed"
    assert receiver.requests == []


def test_each_attempt_goes_to_the_url_of_now(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    receiver.answer("/old", Answer(500))
    endpoint = make_endpoint(receiver.url("/old"))
    publish_event(endpoint.account)
    send()

    services.update_endpoint(
        account_id=endpoint.account_id,
        endpoint_id=endpoint.id,
        changes={"url": receiver.url("/new")},
    )
    make_due()
    send()

    assert [one.path for one in receiver.requests] == ["/old", "/new"]
    assert [one.url for one in Attempt.objects.order_by("number")] == [
        receiver.url("/old"),
        receiver.url("/new"),
    ]


def test_deleting_cancels_what_is_owed(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    api: MakeClient,
) -> None:  # fmt: skip
    receiver.answer("/", Answer(500))
    endpoint = make_endpoint(receiver.url())
    publish_event(endpoint.account)
    send()
    client = api(account=endpoint.account)

    assert client.delete(f"/api/v1/webhook-endpoints/{endpoint.id}").status_code == 204

    delivery = only_delivery()
    assert (delivery.status, delivery.reason) == ("canceled", "endpoint_deleted")
    assert not Due.objects.exists()
    seen = client.get(f"/api/v1/deliveries/{delivery.id}")
    assert seen.json()["status"] == "canceled"
    refused = client.post(f"/api/v1/deliveries/{delivery.id}/redeliver")
    assert (refused.status_code, refused.json()["code"]) == (409, "endpoint_deleted")


def test_a_backlog_of_any_size_follows_its_endpoint(
    make_endpoint: MakeEndpoint, receiver: Receiver, publish_event: PublishEvent, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("apps.webhooks.backlog.BATCH", 2)
    receiver.answer("/", Answer(500))
    endpoint = make_endpoint(receiver.url())
    for _ in range(7):
        publish_event(endpoint.account)
    send()

    services.delete_endpoint(account_id=endpoint.account_id, endpoint_id=endpoint.id)
    assert Delivery.objects.filter(status="canceled").count() == 2
    while delivering.deliver():
        pass

    assert Delivery.objects.filter(status="canceled").count() == 7
    assert not Endpoint.objects.filter(backlog_stale=True).exists()


def test_a_reader_that_may_not_see_it_any_more_gets_nothing(
    make_account: MakeAccount, make_endpoint: MakeEndpoint, publish_event: PublishEvent,
    receiver: Receiver, send: Send,
) -> None:  # fmt: skip

    seller, buyer = make_account(), make_account()
    channel = channel_of(seller.id, "deals")
    join(channel, buyer.id)
    make_endpoint(receiver.url(), account=buyer)
    publish_event(seller, channel_id=channel.id)
    dispatch_slowly()
    assert only_delivery().status == "pending"

    leave(channel, buyer.id)
    send()

    delivery = only_delivery()
    assert (delivery.status, delivery.reason) == ("canceled", "not_visible")
    assert receiver.requests == []


def test_a_worker_killed_under_way_is_made_up_for_after_its_lease(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip

    publish_event(make_endpoint(receiver.url()).account)
    monkeypatch.setattr(Sender, "submit", lambda *_: None)  # dies holding the lease
    dispatch()
    delivering.deliver()
    monkeypatch.undo()
    send()
    assert receiver.requests == [], "the lease is respected"

    expire_leases()
    send()

    assert len(receiver.requests) == 1
    assert only_delivery().status == "delivered"
    assert Attempt.objects.count() == 1


def test_what_was_claimed_for_nothing_is_given_back(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    publish_event(make_endpoint(receiver.url()).account)
    dispatch_slowly()
    with out_of_reach("events_event"), pytest.raises(ProgrammingError):
        delivering.deliver()  # claims, and then finds no event to send
    assert Due.objects.filter(lease_id__isnull=False, claims=1).exists()

    send()

    assert len(receiver.requests) == 1
    assert only_delivery().status == "delivered"


def test_giving_back_waits_for_the_database_and_counts_for_nothing(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    publish_event(make_endpoint(receiver.url()).account)
    dispatch_slowly()

    for _ in range(MAX_CLAIMS + 1):
        with out_of_reach("events_event"), pytest.raises(ProgrammingError):
            delivering.deliver()
        with out_of_reach("webhooks_due"), pytest.raises(ProgrammingError):
            delivering.deliver()
    send()

    assert only_delivery().status == "delivered"


def test_what_was_claimed_by_a_statement_whose_answer_was_lost_is_given_back(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    publish_event(make_endpoint(receiver.url()).account)
    dispatch_slowly()

    def lose_the_answer(**options: Any) -> None:
        assert len(claim(**options)) == 1
        raise OperationalError("the connection is lost")

    monkeypatch.setattr("apps.webhooks.delivering.claim", lose_the_answer)
    with pytest.raises(OperationalError):
        delivering.deliver()
    monkeypatch.undo()
    send()

    assert only_delivery().status == "delivered"


def test_what_was_leased_by_a_commit_whose_answer_was_lost_is_given_back_in_time(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    publish_event(make_endpoint(receiver.url()).account)
    monkeypatch.setattr(delivering, "hand_over", lambda *_: None)
    dispatch()
    monkeypatch.undo()
    send()
    assert receiver.requests == [], "it might still be handed over"

    monkeypatch.setattr("apps.webhooks.leases.MAX_WAIT_SECONDS", 0.0)  # as if that were over
    send()

    assert len(receiver.requests) == 1
    assert only_delivery().status == "delivered"


def test_what_is_handed_over_after_it_was_given_back_is_not_sent(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    publish_event(make_endpoint(receiver.url()).account)
    usual, handed_over = delivering.hand_over, []
    monkeypatch.setattr(delivering, "hand_over", lambda *what: handed_over.append(what))
    dispatch()
    monkeypatch.undo()
    with monkeypatch.context() as patched:
        patched.setattr("apps.webhooks.leases.MAX_WAIT_SECONDS", 0.0)
        send()

    usual(*handed_over[0])
    send()

    assert len(receiver.requests) == 1


def test_what_waited_too_long_for_its_request_is_given_back(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    publish_event(make_endpoint(receiver.url()).account)
    with monkeypatch.context() as patched:
        patched.setattr("apps.webhooks.sender.MAX_WAIT_SECONDS", -1.0)
        dispatch()
        assert delivering.sender.wait_until_empty(10)
    assert receiver.requests == []

    send()

    assert len(receiver.requests) == 1
    assert only_delivery().status == "delivered"


def test_a_worker_started_again_frees_what_its_earlier_life_held(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    endpoint = make_endpoint(receiver.url())
    for _ in range(ENDPOINT_CAP):
        publish_event(endpoint.account)
    start_worker("fast@here")
    delivering.deliver()
    with monkeypatch.context() as patched:
        patched.setattr(Sender, "submit", lambda *_: None)  # dies holding the leases
        dispatch()
    assert Due.objects.filter(holder="fast@here", lease_id__isnull=False).count() == ENDPOINT_CAP

    start_worker("slow@here")
    send()
    assert receiver.requests == [], "the leases of others are respected"
    start_worker("fast@here")
    send()

    assert len(receiver.requests) == ENDPOINT_CAP
    assert not Delivery.objects.exclude(status="delivered").exists()


def test_a_worker_started_again_leases_nothing_before_it_has_freed_what_was_left(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    start_worker("fast@here")
    publish_event(make_endpoint(receiver.url()).account)

    dispatch()

    assert Due.objects.get().ready
    send()
    assert only_delivery().status == "delivered"


def test_a_delivery_that_kills_its_worker_each_time_is_quarantined(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    publish_event(make_endpoint(receiver.url()).account)
    dispatch_slowly()
    with monkeypatch.context() as patched:
        patched.setattr(Sender, "submit", lambda *_: None)
        for _ in range(MAX_CLAIMS):
            start_worker("fast@here")
            delivering.deliver()

    start_worker("fast@here")
    send()

    assert (only_delivery().status, only_delivery().reason) == ("failed", "quarantined")
    assert receiver.requests == []


def test_a_worker_that_is_stopped_leaves_nothing_leased_behind(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver
) -> None:
    receiver.answer("/", Answer(204, delay=30))
    publish_event(make_endpoint(receiver.url()).account)
    dispatch()
    receiver.wait_for(1)

    delivering.stop(1)
    delivering.sender = Sender(delivering.sender._record)  # the stopped one never becomes empty

    due = Due.objects.get()
    assert (due.ready, due.lease_id, due.claims) == (True, None, 0)


def test_whoever_lost_the_lease_records_nothing(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    publish_event(make_endpoint(receiver.url()).account)

    def overtaken(_: Any) -> Answer:

        Due.objects.update(lease_id=uuid7(), holder="me")
        connections.close_all()
        return Answer(500)

    receiver.answer("/", overtaken, Answer(204))
    send()

    delivery = only_delivery()
    assert (delivery.status, delivery.attempt_count, delivery.retry_step) == ("pending", 0, 0)
    assert not Attempt.objects.exists()
    expire_leases()
    send()
    assert only_delivery().status == "delivered"
    assert Attempt.objects.get().number == 1


def test_a_delivery_that_kills_its_workers_is_quarantined(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:

    publish_event(make_endpoint(receiver.url()).account)
    dispatch_slowly()
    for _ in range(MAX_CLAIMS):
        assert len(claim(after=NO_ENDPOINT, limit=10, lease_id=uuid7(), holder="me")) == 1
        expire_leases()

    send()

    delivery = only_delivery()
    assert (delivery.status, delivery.reason) == ("failed", "quarantined")
    assert receiver.requests == []
    assert not Due.objects.exists()


@pytest.mark.parametrize("answer", [Answer(204), Answer(500)])
def test_redelivery_is_accepted_in_any_state(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    api: MakeClient, answer: Answer,
) -> None:  # fmt: skip
    endpoint = make_endpoint(receiver.url())
    client = api(account=endpoint.account)
    publish_event(endpoint.account)
    send()
    delivery = only_delivery()

    for status in ("delivered", "failed", "canceled", "parked", "pending"):
        receiver.answer("/", answer)
        Due.objects.all().delete()
        Delivery.objects.update(status=status, retry_step=9)
        if status == "pending":
            Due.objects.create(
                id=delivery.id, endpoint_id=endpoint.id, ready=False,
                due_at=Now() + timedelta(hours=5),
            )  # fmt: skip
        before = len(receiver.requests)

        accepted = client.post(f"/api/v1/deliveries/{delivery.id}/redeliver")
        assert accepted.status_code == 202
        assert accepted.json()["status"] == "pending"
        send()

        assert len(receiver.requests) == before + 1
        after = only_delivery()
        assert after.status == ("delivered" if answer.status == 204 else "pending")
        assert after.retry_step == (0 if answer.status == 204 else 1)
    assert only_delivery().attempt_count == 6
    assert {one.headers["webhook-id"] for one in receiver.requests} == {str(delivery.event_id)}


def test_redelivery_to_a_disabled_endpoint_waits_for_it(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    api: MakeClient,
) -> None:  # fmt: skip
    endpoint = make_endpoint(receiver.url())
    client = api(account=endpoint.account)
    publish_event(endpoint.account)
    send()
    Endpoint.objects.update(status="disabled", disabled_reason="operator")

    accepted = client.post(f"/api/v1/deliveries/{only_delivery().id}/redeliver")
    send()

    assert (accepted.status_code, accepted.json()["status"]) == (202, "parked")
    assert len(receiver.requests) == 1
    client.post(f"/api/v1/webhook-endpoints/{endpoint.id}/enable")
    send()
    assert len(receiver.requests) == 2
    assert only_delivery().status == "delivered"


def test_a_delivery_whose_event_is_gone_has_failed(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    receiver.answer("/", Answer(500))
    publish_event(make_endpoint(receiver.url()).account)
    send()

    Event.objects.all().delete()
    make_due()
    send()

    delivery = only_delivery()
    assert (delivery.status, delivery.reason) == ("failed", "event_gone")


def test_what_is_owed_for_a_delivery_that_is_gone_is_forgotten(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    endpoint = make_endpoint(receiver.url())
    Due.objects.create(id=uuid7(), endpoint_id=endpoint.id, due_at=Now())
    Due.objects.create(id=uuid7(), endpoint_id=uuid7(), due_at=Now())
    publish_event(endpoint.account)

    send()

    assert not Due.objects.exists()
    assert only_delivery().status == "delivered"


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
