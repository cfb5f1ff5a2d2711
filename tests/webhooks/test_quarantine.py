"""Deliveries that can never be sent are set aside: they neither loop nor stop the others."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from standardwebhooks import Webhook

from apps.webhooks import preparing
from apps.webhooks.delivering import delivering
from apps.webhooks.limits import MAX_CLAIMS
from apps.webhooks.models import Delivery, Due, Endpoint
from apps.webhooks.sender import Sender
from apps.webhooks.transport import Parcel
from tests.conftest import MakeClient
from tests.support import Receiver
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.situations import (
    dispatch_slowly,
    expire_leases,
    headers_of,
    only_delivery,
    start_worker,
    take,
)

pytestmark = pytest.mark.django_db(transaction=True)

Send = Callable[[], None]


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

    assert (only_delivery().status, only_delivery().reason) == ("parked", "quarantined")
    assert receiver.requests == []


def test_a_delivery_that_kills_its_workers_is_quarantined(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:

    publish_event(make_endpoint(receiver.url()).account)
    dispatch_slowly()
    for _ in range(MAX_CLAIMS):
        assert len(take(10)) == 1
        expire_leases()

    send()

    delivery = only_delivery()
    assert (delivery.status, delivery.reason) == ("parked", "quarantined")
    assert receiver.requests == []
    assert not Due.objects.exists()


def corrupt_secret_of(endpoint: Endpoint) -> None:
    """As if its key had been dropped from ENCRYPTION_KEYS."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE webhooks_endpoint SET secret = 'broken', version = version + 1 WHERE id = %s",
            [endpoint.id],
        )


@pytest.mark.parametrize("slowly", [True, False])
def test_an_unreadable_secret_parks_its_own_deliveries_and_no_others(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    slowly: bool,
) -> None:  # fmt: skip
    good = make_endpoint(receiver.url())
    bad = make_endpoint(receiver.url("/bad"), account=good.account)
    corrupt_secret_of(bad)
    for _ in range(3):
        publish_event(good.account)

    if slowly:
        dispatch_slowly()
    send()

    assert len(receiver.requests) == 3
    parked = Delivery.objects.filter(endpoint_id=bad.id)
    assert set(parked.values_list("status", "reason")) == {("parked", "unreadable")}
    assert not Due.objects.exists()


def test_an_unreadable_secret_can_be_rotated_away(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    api: MakeClient,
) -> None:  # fmt: skip
    endpoint = make_endpoint(receiver.url())
    corrupt_secret_of(endpoint)
    publish_event(endpoint.account)
    send()
    client = api(account=endpoint.account)
    path = f"/api/v1/webhook-endpoints/{endpoint.id}"
    assert client.get(path).status_code == 200
    assert len(client.get("/api/v1/webhook-endpoints").json()["results"]) == 1

    rotated = client.post(f"{path}/rotate-secret", {"grace_seconds": 3600})
    client.post(f"/api/v1/deliveries/{Delivery.objects.get().id}/redeliver")
    send()

    assert rotated.status_code == 200
    [request] = receiver.wait_for(1)
    assert Webhook(rotated.json()["secret"]).verify(request.body, headers_of(request))


def test_what_cannot_be_prepared_is_quarantined_and_does_not_spoil_the_others(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    endpoint = make_endpoint(receiver.url())
    poison, *_ = [publish_event(endpoint.account) for _ in range(4)]
    usual = preparing._parcel

    def choke(claimed: Any, found: Any, *rest: Any) -> Parcel:
        if found.event_id == poison:
            raise ValueError("nobody can read this")
        return usual(claimed, found, *rest)

    monkeypatch.setattr(preparing, "_parcel", choke)
    dispatch_slowly()
    for n in range(MAX_CLAIMS):
        send()
        assert len(receiver.requests) == 3
        assert Due.objects.get().claims == n + 1, "left to its lease, not tried each second"
        send()
        assert Due.objects.get().claims == n + 1
        expire_leases()
    send()

    delivery = Delivery.objects.get(event_id=poison)
    assert (delivery.status, delivery.reason) == ("parked", "quarantined")
    assert not Due.objects.exists()
