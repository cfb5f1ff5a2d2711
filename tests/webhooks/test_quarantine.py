"""Deliveries that can never be sent are set aside: they neither loop nor stop the others."""

from collections.abc import Callable

import pytest

from apps.webhooks.delivering import delivering
from apps.webhooks.limits import MAX_CLAIMS
from apps.webhooks.models import Due
from apps.webhooks.sender import Sender
from tests.support import Receiver
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.situations import (
    dispatch_slowly,
    expire_leases,
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
