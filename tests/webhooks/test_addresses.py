"""Addresses of endpoints that turn out to be inside, from the registration to the log."""

import socket
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest

from apps.webhooks.models import Attempt, Delivery
from tests.conftest import MakeClient
from tests.support import Answer, Receiver
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.situations import make_due

pytestmark = pytest.mark.django_db(transaction=True)

Send = Callable[[], None]


class NameServer:
    """Answers each question for a name with the next of these lists of addresses, and with the last for
    ever; whoever asks for an address is not concerned."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.usual = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self.answer)

    def answer(self, host: str, port: int, *rest: Any, **named: Any) -> list[Any]:
        if host[:1].isdigit() or host == "localhost":
            return list(self.usual(host, port, *rest, **named))
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]


@pytest.mark.parametrize(
    "turned", [["127.0.0.1"], ["93.184.215.14", "127.0.0.1"], ["169.254.169.254"]]
)
def test_a_name_that_turns_inside_after_it_was_registered_is_not_called(
    api: MakeClient, publish_event: PublishEvent, receiver: Receiver, send: Send, settings: Any,
    monkeypatch: pytest.MonkeyPatch, turned: list[str],
) -> None:  # fmt: skip
    settings.OUTGOING_ALLOWED_NETWORKS = []
    names = NameServer(monkeypatch, ["93.184.215.14"], turned)
    client = api()
    body = {"url": f"http://rebound.example:{receiver.port}/", "event_types": ["*"]}
    assert client.post("/api/v1/webhook-endpoints", body).status_code == 201

    publish_event(client.account)
    send()

    assert names.asked == ["rebound.example"] * 2
    assert receiver.requests == []
    shown = client.get(f"/api/v1/deliveries/{Delivery.objects.get().id}").json()
    (attempt,) = shown["attempts"]
    assert (attempt["status_code"], attempt["error"]) == (None, "address_not_allowed")
    assert attempt["response_headers"] is None
    assert attempt["response_body"] == ""
    said = str(shown)
    assert "127.0.0.1" not in said
    assert "169.254" not in said


def test_what_the_log_says_of_an_inside_address_does_not_depend_on_what_is_there(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    settings: Any,
) -> None:  # fmt: skip
    """A port that answers, a port that is closed, an address that nobody has, a name: all the same."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        closed = bound.getsockname()[1]
        endpoints = [
            make_endpoint(url)
            for url in (
                receiver.url(),
                f"http://127.0.0.1:{closed}/",
                "http://10.255.255.1/",
                "http://[::1]:9/",
                "http://db.internal/",
                "http://localhost:9/",
            )
        ]
        settings.OUTGOING_ALLOWED_NETWORKS = []
        for endpoint in endpoints:
            publish_event(endpoint.account)
        send()

    told = {(one.error, one.status_code, one.connect_us) for one in Attempt.objects.all()}
    assert told == {("address_not_allowed", None, None)}
    assert Attempt.objects.count() == len(endpoints)


def test_a_redirect_to_the_inside_is_a_failure_and_is_not_followed(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    receiver.answer("/", *(Answer(status, headers={"Location": receiver.url("/inside")})
                           for status in (301, 302, 303, 307, 308)))  # fmt: skip
    endpoint = make_endpoint(receiver.url())
    publish_event(endpoint.account)
    send()
    for _ in range(4):
        make_due()
        send()

    assert receiver.at("/inside") == []
    statuses = Attempt.objects.order_by("number").values_list("status_code", flat=True)
    assert list(statuses) == [301, 302, 303, 307, 308]
    assert Delivery.objects.get().status == "pending"


def test_a_name_is_looked_up_in_the_networks_that_are_let_through(
    api: MakeClient, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    NameServer(monkeypatch, ["10.1.2.3"])
    body = {"url": "http://receiver:9000/", "event_types": ["*"]}

    settings.OUTGOING_ALLOWED_NETWORKS = []
    assert api().post("/api/v1/webhook-endpoints", body).status_code == 400
    settings.OUTGOING_ALLOWED_NETWORKS = [ip_network("10.0.0.0/8")]
    assert api().post("/api/v1/webhook-endpoints", body).status_code == 201
