"""The back office: pages open, secrets are nowhere, actions call the services."""

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from standardwebhooks import Webhook

from apps.accounts.models import User
from apps.events.models import Event
from apps.webhooks.enums import DeliveryStatus
from apps.webhooks.models import Attempt, Delivery, Due, Endpoint, Pace, Replay
from tests.support import Answer, Receiver
from tests.support.backoffice import act
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.replaying import past_events

pytestmark = pytest.mark.django_db(transaction=True)

ADMIN = "/admin/webhooks"


@pytest.fixture
def office() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin", "admin@example.com", "secret"))
    return client


def test_every_page_opens_and_none_shows_a_secret(
    office: Client, make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver,
    send: Any,
) -> None:  # fmt: skip
    receiver.answer("/", Answer(500, b"\xff broken"))
    endpoint = make_endpoint(receiver.url())
    publish_event(endpoint.account)
    send()
    delivery, attempt = Delivery.objects.get(), Attempt.objects.get()

    for path in (
        "endpoint/", f"endpoint/{endpoint.id}/change/", f"endpoint/?q={endpoint.id}",
        "delivery/", f"delivery/{delivery.id}/change/", f"delivery/?q={delivery.subject}",
        "attempt/", f"attempt/{attempt.id}/change/", f"attempt/?q={delivery.id}",
    ):  # fmt: skip
        page = office.get(f"{ADMIN}/{path}")
        assert page.status_code == 200, path
        assert str(endpoint.secret) not in page.content.decode()
        assert str(endpoint.secret).removeprefix("whsec_") not in page.content.decode()


def test_nothing_is_added_or_deleted_there(office: Client, make_endpoint: MakeEndpoint) -> None:
    endpoint = make_endpoint("https://example.com/")

    assert office.get(f"{ADMIN}/endpoint/add/").status_code == 403
    assert office.post(f"{ADMIN}/endpoint/{endpoint.id}/delete/").status_code == 403


def test_disabling_and_enabling(
    office: Client, make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver,
    send: Any,
) -> None:  # fmt: skip
    receiver.answer("/", Answer(500), Answer(204))
    endpoint = make_endpoint(receiver.url())
    publish_event(endpoint.account)
    send()

    act(office, "webhooks/endpoint", "disable", endpoint.id)
    endpoint.refresh_from_db()
    assert (endpoint.status, endpoint.disabled_reason) == ("disabled", "operator")
    assert Delivery.objects.get().status == "parked"
    assert "was not enabled" in act(office, "webhooks/endpoint", "disable", endpoint.id)

    act(office, "webhooks/endpoint", "enable", endpoint.id)
    send()
    endpoint.refresh_from_db()
    assert endpoint.status == "enabled"
    assert Delivery.objects.get().status == "delivered"


def test_sending_again(
    office: Client, make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver,
    send: Any,
) -> None:  # fmt: skip
    endpoint = make_endpoint(receiver.url())
    publish_event(endpoint.account)
    send()
    delivery = Delivery.objects.get()

    act(office, "webhooks/delivery", "redeliver", delivery.id)
    send()
    assert len(receiver.requests) == 2

    Endpoint.objects.update(deleted_at="2026-01-01T00:00:00Z")
    assert "has been deleted" in act(office, "webhooks/delivery", "redeliver", delivery.id)


def test_a_test_event_is_sent(
    office: Client, make_endpoint: MakeEndpoint, receiver: Receiver, send: Any
) -> None:
    endpoint = make_endpoint(receiver.url())

    act(office, "webhooks/endpoint", "test", endpoint.id)
    send()

    assert receiver.requests[0].json()["type"] == "webhook_endpoint.test"


def test_replaying(office: Client, make_endpoint: MakeEndpoint) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    past_events(endpoint.account, 3)

    for fields in ({}, {"only": "all"}):
        refused = act(office, "webhooks/endpoint", "replay", endpoint.id, **fields)
        assert "This field is required" in refused
    assert not Replay.objects.exists()

    asked = {"only": "all", "hours": "24"}
    done = act(office, "webhooks/endpoint", "replay", endpoint.id, **asked)
    assert "is sent 3 events again" in done
    refused = act(office, "webhooks/endpoint", "replay", endpoint.id, **asked)
    assert "is running or paused" in refused
    replay = Replay.objects.get()
    for action, status in (("pause", "paused"), ("resume", "running"), ("cancel", "canceled")):
        act(office, "webhooks/replay", action, replay.id)
        replay.refresh_from_db()
        assert replay.status == status
    assert "Start a new one" in act(office, "webhooks/replay", "resume", replay.id)


def test_deliveries_are_found_by_status_and_time(
    office: Client, make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver,
    send: Any,
) -> None:  # fmt: skip
    endpoint = make_endpoint(receiver.url())
    events = {status: publish_event(endpoint.account) for status in DeliveryStatus.values}
    send()
    for status, event in events.items():
        Delivery.objects.filter(event_id=event).update(status=status)
    pending = Delivery.objects.get(status="pending")
    Due.objects.create(id=pending.id, endpoint_id=endpoint.id)

    for status in DeliveryStatus.values:
        page = office.get(f"{ADMIN}/delivery/?status={status}&made=hour").content.decode()
        found = {str(one.id) for one in Delivery.objects.all() if f"/{one.id}/change/" in page}
        assert found == {str(Delivery.objects.get(status=status).id)}
    assert office.get(f"{ADMIN}/delivery/?status=nonsense&made=never").status_code in (200, 302)


def test_the_list_of_deliveries_is_not_counted(office: Client) -> None:
    for status in ("failed", "pending"):
        with CaptureQueriesContext(connection) as queries:
            office.get(f"{ADMIN}/delivery/?status={status}")
        asked = [one["sql"] for one in queries if 'FROM "webhooks_delivery"' in one["sql"]]
        assert asked
        assert not [sql for sql in asked if "COUNT(" in sql]


def test_an_endpoint_that_fails_shows_since_when(
    office: Client, make_endpoint: MakeEndpoint
) -> None:
    endpoint = make_endpoint("https://example.com/")
    Endpoint.objects.update(status="failing")
    Pace.objects.create(pk=endpoint.id, failures=7, failing_since="2026-02-03T04:05:06Z")

    listed = office.get(f"{ADMIN}/endpoint/?status__exact=failing").content
    shown = office.get(f"{ADMIN}/endpoint/{endpoint.id}/change/").content

    assert b'title="2026-02-03 04:05:06 UTC"' in listed
    assert b"2026-02-03 04:05:06" in shown or b"Feb. 3, 2026" in shown


def test_a_new_secret_is_shown_once_to_who_may_see_it(
    office: Client, make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver,
    send: Any,
) -> None:  # fmt: skip
    endpoint = make_endpoint(receiver.url())
    path = f"{ADMIN}/endpoint/act/rotate_secret/"
    chosen = {
        "_selected_action": [str(endpoint.id)], "grace_seconds": "0", "confirmation": str(uuid4())
    }  # fmt: skip
    operator = User.objects.create_user("operator", is_staff=True)
    operator.user_permissions.add(Permission.objects.get(codename="change_endpoint"))
    operator.user_permissions.add(Permission.objects.get(codename="view_endpoint"))
    stranger = Client()
    stranger.force_login(operator)
    assert stranger.post(path, chosen).status_code == 403

    answer = office.post(path, chosen)
    publish_event(endpoint.account)
    send()

    secret = str(Endpoint.objects.get().secret)
    assert secret in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    again = office.post(path, chosen, follow=True)  # as reloading the page does
    assert secret not in again.content.decode()
    assert str(Endpoint.objects.get().secret) == secret
    assert secret not in office.get(f"{ADMIN}/endpoint/").content.decode()
    (request,) = receiver.requests
    Webhook(secret).verify(request.body, dict(request.headers))


def test_pages_open_though_a_secret_cannot_be_read(
    office: Client, make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver,
    send: Any,
) -> None:  # fmt: skip
    endpoint = make_endpoint(receiver.url())
    publish_event(endpoint.account)
    send()
    event = Event.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE webhooks_endpoint SET secret = 'garbage'")

    for path in (
        f"webhooks/endpoint/{endpoint.id}", f"webhooks/delivery/{Delivery.objects.get().id}",
        f"events/event/{event.id}",
    ):  # fmt: skip
        assert office.get(f"/admin/{path}/change/").status_code == 200
    for path in ("webhooks/endpoint", "webhooks/delivery", "webhooks/replay"):
        assert office.get(f"/admin/{path}/").status_code == 200


def test_two_secrets_are_not_rotated_at_once(office: Client, make_endpoint: MakeEndpoint) -> None:
    chosen = [str(make_endpoint(f"https://example.com/{n}").id) for n in range(2)]
    before = set(Endpoint.objects.values_list("secret", flat=True))

    asked = {"action": "rotate_secret", "_selected_action": chosen}
    assert b"one object at a time" in office.post(f"{ADMIN}/endpoint/", asked).content
    path = f"{ADMIN}/endpoint/act/rotate_secret/"
    refused = office.post(path, {"_selected_action": chosen, "grace_seconds": "0"})

    assert refused.status_code == 403
    assert set(Endpoint.objects.values_list("secret", flat=True)) == before
