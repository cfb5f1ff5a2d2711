"""What an endpoint is owed follows it: when it is gone, disabled, enabled, edited or deleted, and when its account
may not see an event any more."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.common.actor import system
from apps.common.ids import uuid7
from apps.events.channels import channel_of, join, leave
from apps.events.models import Event
from apps.webhooks import services
from apps.webhooks.delivering import delivering
from apps.webhooks.enums import DisabledReason
from apps.webhooks.models import Attempt, Delivery, Due, Endpoint
from apps.webhooks.outcomes import dismiss
from apps.webhooks.preparing import prepare
from tests.conftest import MakeAccount, MakeClient
from tests.support import Answer, Receiver, background, somebody_waits_for_a_lock, wait_until
from tests.support.concurrency import TIMEOUT_SECONDS
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.situations import (
    dispatch_slowly,
    expire_leases,
    make_due,
    only_delivery,
    take,
)

pytestmark = pytest.mark.django_db(transaction=True)

Send = Callable[[], None]


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
    send()
    assert len(receiver.at("/new")) == 1
    assert only_delivery().status == "delivered"


def test_what_is_not_sent_because_of_an_endpoint_that_is_just_enabled_is_sent_later(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    endpoint = make_endpoint(receiver.url())
    publish_event(endpoint.account)
    dispatch_slowly()
    claimed = take()
    services.disable_endpoint(
        endpoint_id=endpoint.id, reason=DisabledReason.FAILURES, actor=system("tests")
    )
    _, dismissals = prepare(claimed, 0.0)
    assert [one.reason for one in dismissals] == ["endpoint_disabled"]
    is_enabled = threading.Event()

    def dismiss_meanwhile() -> None:
        assert is_enabled.wait(TIMEOUT_SECONDS)
        dismiss(dismissals)

    with background(dismiss_meanwhile), transaction.atomic():
        services.enable_endpoint(
            account_id=endpoint.account_id, endpoint_id=endpoint.id, actor=system("tests")
        )
        is_enabled.set()
        wait_until(somebody_waits_for_a_lock)

    expire_leases()
    send()
    assert only_delivery().status == "delivered"


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
