"""Sending a delivery again."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from apps.webhooks.models import Delivery, Due, Endpoint
from tests.conftest import MakeClient
from tests.support import Answer, Receiver
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.situations import only_delivery

pytestmark = pytest.mark.django_db(transaction=True)

Send = Callable[[], None]


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
