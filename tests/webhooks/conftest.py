"""Endpoints, events to send, and a sender that has nothing left when a test ends."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from standardwebhooks import Webhook, WebhookVerificationError

from apps.accounts.models import Account
from apps.common import clock
from apps.common.actor import system
from apps.common.ids import uuid7
from apps.events.catalogue import EventType
from apps.events.dispatch import dispatch
from apps.events.publishing import draft, publish
from apps.webhooks import preparing, services
from apps.webhooks.claims import Turns
from apps.webhooks.delivering import delivering
from apps.webhooks.events import DISABLED
from apps.webhooks.leases import OpenLeases
from apps.webhooks.models import Endpoint
from apps.webhooks.sender import Sender
from apps.webhooks.signing import new_secret
from tests.support import Receiver

PublishEvent = Callable[..., UUID]
MakeEndpoint = Callable[..., Endpoint]


def many_endpoints(account: Account, n: int, url: str = "http://127.0.0.1:1/") -> list[Endpoint]:
    """Registers n endpoints at once."""
    return Endpoint.objects.bulk_create(
        Endpoint(account=account, url=url, event_types=["*"], secret=new_secret()) for _ in range(n)
    )


@pytest.fixture(autouse=True)
def _sender() -> Iterator[None]:
    """A sender and leases of its own for each test: ended before the tables are emptied."""
    usual = delivering.sender
    delivering.sender = Sender(usual._record)
    delivering._turns = Turns()
    leases, delivering.leases = delivering.leases, OpenLeases()
    preparing._keyrings.clear()
    yield
    delivering.sender.stop(20)
    delivering.sender, delivering.leases = usual, leases


@pytest.fixture(autouse=True)
def _all_verified(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Whatever a receiver got in a test that registers endpoints, the official library verifies with one of
    their secrets."""
    secrets: list[str] = []

    def remembered() -> str:
        secrets.insert(0, new_secret())
        return secrets[0]

    monkeypatch.setattr("apps.webhooks.services.new_secret", remembered)
    receives = "receiver" in request.fixturenames
    receiver: Receiver | None = request.getfixturevalue("receiver") if receives else None
    yield
    for got in receiver.requests if receiver and secrets else []:
        headers = dict(got.headers.items())
        assert any(is_verified(secret, headers, got.body) for secret in secrets)


def is_verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """What the library says."""
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


@pytest.fixture
def make_endpoint(make_account: Callable[..., Account]) -> MakeEndpoint:
    """Registers endpoints: `make_endpoint(receiver.url("/hook"), account=seller, event_types=["deal.*"])`."""

    def make(url: str, *, account: Account | None = None, **fields: Any) -> Endpoint:
        owner = account or make_account()
        fields = {"event_types": ["*"], **fields}
        return services.create_endpoint(account_id=owner.id, url=url, **fields).endpoint

    return make


@pytest.fixture
def publish_event() -> PublishEvent:
    """Publishes an event of an account, and returns its id: `publish_event(seller, readers=[buyer.id])`."""

    def make(account: Account, *, type: EventType = DISABLED, **options: Any) -> UUID:
        with transaction.atomic():
            drafted = draft(
                type,
                account_id=account.id,
                subject=options.pop("subject", None) or uuid7(),
                object=options.pop("object", {"name": "a thing"}),
                actor=system("tests"),
                at=clock.now(),
                **options,
            )
            publish(drafted)
        return drafted.id

    return make


@pytest.fixture
def send() -> Callable[[], None]:
    """Dispatches and delivers all that is due, and waits until the outcomes are recorded."""

    def run() -> None:
        dispatch()
        delivering.deliver()
        assert delivering.sender.wait_until_empty(20)

    return run
