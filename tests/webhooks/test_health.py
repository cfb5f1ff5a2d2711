"""The status of endpoints follows how they do, and those concerned are told."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from apps.common.models import Message
from apps.events.models import Event
from apps.webhooks import services
from apps.webhooks.judging import judge
from apps.webhooks.models import Delivery, Due, Endpoint, Pace
from apps.webhooks.pace import FAILING_AFTER
from tests.conftest import MakeAccount, MakeClient
from tests.support import Answer, Receiver
from tests.webhooks.conftest import MakeEndpoint, PublishEvent, many_endpoints
from tests.webhooks.situations import make_due

pytestmark = pytest.mark.django_db(transaction=True)

Send = Callable[[], None]


def said(endpoint: Endpoint) -> list[str]:
    """What is told of an endpoint, in order."""
    about = Event.objects.filter(subject=endpoint.pk, type__startswith="webhook_endpoint.")
    return list(about.order_by("pk").values_list("type", flat=True))


def fail(endpoint: Endpoint, publish_event: PublishEvent, send: Send, times: int) -> None:
    for _ in range(times):
        publish_event(endpoint.account)
        send()


def test_three_failures_in_a_row_make_it_failing_and_a_success_ends_that(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    make_account: MakeAccount,
) -> None:  # fmt: skip
    account = make_account(email="owner@shop.example")
    receiver.answer("/", Answer(500))
    endpoint = make_endpoint(receiver.url(), account=account, event_types=["order.*"])
    witness = make_endpoint(
        receiver.url("/witness"), account=account, event_types=["webhook_endpoint.*"]
    )
    Endpoint.objects.filter(pk=endpoint.pk).update(event_types=["*"])
    Endpoint.objects.filter(pk=witness.pk).update(event_types=["webhook_endpoint.failing"])

    fail(endpoint, publish_event, send, FAILING_AFTER - 1)
    judge()
    endpoint.refresh_from_db()
    assert endpoint.status == "enabled"
    fail(endpoint, publish_event, send, 1)
    judge()
    judge()

    endpoint.refresh_from_db()
    assert (endpoint.status, endpoint.disabled_reason) == ("failing", "")
    assert said(endpoint) == ["webhook_endpoint.failing"]
    [mail] = Message.objects.all()
    assert (mail.to, mail.subject) == ("owner@shop.example", "Your webhook endpoint is failing")
    send()
    [told] = receiver.wait_for(1, path="/witness")
    assert told.json()["data"]["object"]["status"] == "failing"
    told_ids = {one.headers["webhook-id"] for one in receiver.at("/")}
    assert told.headers["webhook-id"] not in told_ids, "never sent to the endpoint concerned"

    receiver.answer("/", Answer(204))
    make_due()
    send()
    judge()

    endpoint.refresh_from_db()
    assert endpoint.status == "enabled"
    assert said(endpoint) == ["webhook_endpoint.failing", "webhook_endpoint.recovered"]
    while judge():
        pass
    assert not Pace.objects.exists(), "of one that is well nothing is kept"


def test_a_failing_endpoint_gets_what_comes(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    endpoint = make_endpoint(receiver.url())
    Endpoint.objects.update(status="failing")

    publish_event(endpoint.account)
    send()

    assert len(receiver.requests) == 1


def test_an_account_is_warned_of_an_endpoint_once_a_day(
    make_endpoint: MakeEndpoint, make_account: MakeAccount
) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/", account=make_account(email="a@b.example"))
    for passed, mails in ((0, 1), (23, 1), (25, 2)):
        Endpoint.objects.update(status="enabled")
        if passed:
            Endpoint.objects.update(warned_at=Now() - timedelta(hours=passed))
        Pace.objects.update_or_create(pk=endpoint.pk, defaults={"failures": 5})
        judge()

        assert Message.objects.count() == mails


def test_after_five_days_without_a_success_it_is_disabled_and_its_backlog_parked(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    make_account: MakeAccount,
) -> None:  # fmt: skip
    account = make_account(email="owner@shop.example")
    receiver.answer("/", Answer(500))
    endpoint = make_endpoint(receiver.url(), account=account)
    fail(endpoint, publish_event, send, FAILING_AFTER)
    judge()
    Pace.objects.update(failing_since=Now() - timedelta(days=5), failures=50)

    fail(endpoint, publish_event, send, 1)
    judge()

    endpoint.refresh_from_db()
    assert (endpoint.status, endpoint.disabled_reason) == ("disabled", "failures")
    assert said(endpoint) == ["webhook_endpoint.failing", "webhook_endpoint.disabled"]
    owed = Delivery.objects.filter(endpoint=endpoint)
    assert set(owed.values_list("status", "reason")) == {("parked", "endpoint_disabled")}
    assert [one.subject for one in Message.objects.order_by("pk")] == [
        "Your webhook endpoint is failing",
        "Your webhook endpoint has been disabled",
    ]


def test_enabling_forgets_what_is_held_against_it_and_sends_the_backlog_anew(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    api: MakeClient,
) -> None:  # fmt: skip
    receiver.answer("/", Answer(500))
    endpoint = make_endpoint(receiver.url())
    fail(endpoint, publish_event, send, 3)
    Delivery.objects.update(retry_step=8)
    Pace.objects.update(places=1, closed_until=Now() + timedelta(minutes=9), openings=9)
    Pace.objects.update(failing_since=Now() - timedelta(days=6), failed_at=Now(), failures=99)
    judge()
    assert not Due.objects.exists()
    receiver.answer("/", Answer(204))

    answer = api(account=endpoint.account).post(f"/api/v1/webhook-endpoints/{endpoint.id}/enable")

    assert (answer.status_code, answer.json()["status"]) == (200, "enabled")
    assert not Pace.objects.exists()
    assert set(Delivery.objects.values_list("status", "retry_step")) == {("pending", 0)}
    send()
    assert len(receiver.requests) == 6
    assert said(endpoint)[-1] == "webhook_endpoint.recovered"


def test_a_new_address_is_tried_out_at_once(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    fail(endpoint, publish_event, send, 10)
    assert Pace.objects.get().closed_until is not None

    services.update_endpoint(
        account_id=endpoint.account_id, endpoint_id=endpoint.id, changes={"url": receiver.url()}
    )
    Due.objects.update(due_at=Now())
    send()

    assert len(receiver.requests) == 10
    assert Pace.objects.get().places is None


def test_a_receiver_can_ask_for_no_retry(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    receiver.answer("/", Answer(422, headers={"webhook-delivery": "retry=false"}))
    publish_event(make_endpoint(receiver.url()).account)

    send()

    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.reason) == ("failed", "refused")
    assert not Due.objects.exists()


def test_a_receiver_can_ask_for_a_pause(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    api: MakeClient,
) -> None:  # fmt: skip
    receiver.answer("/", Answer(200, headers={"Webhook-Delivery": "pause=3600"}), Answer(204))
    endpoint = make_endpoint(receiver.url())
    fail(endpoint, publish_event, send, 3)
    assert len(receiver.requests) == 1, "delivered, and the others wait"
    assert sorted(Delivery.objects.values_list("status", flat=True)) == [
        "delivered",
        "pending",
        "pending",
    ]

    api(account=endpoint.account).post(f"/api/v1/webhook-endpoints/{endpoint.id}/enable")
    send()

    assert len(receiver.requests) == 3, "enabling ends a pause"


def test_what_is_missed_when_a_worker_dies_is_judged_later(
    make_endpoint: MakeEndpoint,
) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    Endpoint.objects.update(status="failing")  # and its pace is gone

    judge()

    endpoint.refresh_from_db()
    assert endpoint.status == "enabled"


def test_an_account_has_so_many_endpoints_and_no_more(
    api: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.webhooks.services.MAX_ENDPOINTS", 3)
    client = api()
    [gone, *_] = many_endpoints(client.account, 3)
    body = {"url": "https://93.184.215.14/hook", "event_types": ["*"]}

    refused = client.post("/api/v1/webhook-endpoints", body)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_webhook_endpoints")
    services.delete_endpoint(account_id=client.account.id, endpoint_id=gone.id)

    assert client.post("/api/v1/webhook-endpoints", body).status_code == 201
