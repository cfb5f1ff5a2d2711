"""The back office: pages open, secrets are nowhere, actions call the services."""

from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.webhooks.models import Attempt, Delivery, Endpoint
from tests.support import Answer, Receiver
from tests.webhooks.conftest import MakeEndpoint, PublishEvent

pytestmark = pytest.mark.django_db(transaction=True)

ADMIN = "/admin/webhooks"


@pytest.fixture
def office() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin", "admin@example.com", "secret"))
    return client


def act(office: Client, page: str, action: str, *ids: Any) -> Any:
    answer = office.post(
        f"{ADMIN}/{page}/",
        {"action": action, "_selected_action": [str(pk) for pk in ids]},
        follow=True,
    )
    assert answer.status_code == 200
    return answer


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
        assert "secret" not in page.content.decode().lower()


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

    act(office, "endpoint", "disable", endpoint.id)
    endpoint.refresh_from_db()
    assert (endpoint.status, endpoint.disabled_reason) == ("disabled", "operator")
    assert Delivery.objects.get().status == "parked"
    assert b"was not enabled" in act(office, "endpoint", "disable", endpoint.id).content

    act(office, "endpoint", "enable", endpoint.id)
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

    act(office, "delivery", "redeliver", delivery.id)
    send()
    assert len(receiver.requests) == 2

    Endpoint.objects.update(deleted_at="2026-01-01T00:00:00Z")
    assert b"has been deleted" in act(office, "delivery", "redeliver", delivery.id).content
