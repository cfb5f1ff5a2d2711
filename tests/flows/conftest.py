"""Customers with webhook endpoints, who check what they get with the public library."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from standardwebhooks import Webhook

from tests.conftest import MakeAccount, MakeClient
from tests.support import ApiClient, Receiver


class Listener:
    """A customer's program that takes our webhooks at an address of its own."""

    def __init__(self, client: ApiClient, receiver: Receiver, event_types: list[str]) -> None:
        self.path = f"/hooks/{client.account.slug}"
        self._receiver = receiver
        body = {"url": receiver.url(self.path), "event_types": event_types}
        answer = client.post("/api/v1/webhook-endpoints", body)
        assert answer.status_code == 201, answer.content
        self.endpoint: dict[str, Any] = answer.json()
        self._verify = Webhook(self.endpoint["secret"]).verify

    def got(self) -> list[dict[str, Any]]:
        """The bodies so far, each verified; AssertionError when one's headers do not fit."""
        bodies = []
        for request in self._receiver.at(self.path):
            self._verify(request.body, dict(request.headers.items()))
            body: dict[str, Any] = orjson.loads(request.body)
            assert request.headers["webhook-id"] == body["id"]
            assert request.headers["content-type"] == "application/json"
            bodies.append(body)
        return bodies

    def types(self) -> list[str]:
        return [body["type"] for body in self.got()]


Listen = Callable[..., Listener]


@pytest.fixture
def listen(receiver: Receiver) -> Listen:
    """`listen(client, "deal.*")` registers an endpoint of the client."""
    return lambda client, *types: Listener(client, receiver, list(types) or ["*"])


@pytest.fixture
def seller(transactional_db: None, api: MakeClient, make_account: MakeAccount) -> ApiClient:
    return api(account=make_account("seller"))


@pytest.fixture
def buyer(transactional_db: None, api: MakeClient, make_account: MakeAccount) -> ApiClient:
    return api(account=make_account("buyer"))
