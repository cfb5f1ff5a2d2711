"""What dies, freezes or runs twice loses nothing and doubles nothing: the whole of `make run`, for real."""

import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.request import urlopen

import pytest
from standardwebhooks import Webhook

from apps.webhooks.limits import ENDPOINT_CAP, LEASE_SECONDS
from deploy.local.processes import processes
from deploy.local.services import free_port
from sandbox.client import Client
from tests.support import Answer, Receiver, wait_until
from tests.support.installation import Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DEALS = 150


def test_a_deal_committed_before_everything_is_killed_arrives_once_after_the_restart(
    installation: Installation, receiver: Receiver
) -> None:
    """Its event is committed and not dispatched; then kill -9 for all, and Valkey comes back empty."""
    seller = installation.client("seller")
    endpoint = register(seller, receiver)
    installation.signal("fast@", signal.SIGSTOP)
    deal = post_deal(seller, "the last words")

    installation.kill()
    assert receiver.requests == []
    installation.start()

    (request,) = receiver.wait_for(1, 30)
    body = Webhook(endpoint["secret"]).verify(request.body, dict(request.headers.items()))
    assert body["type"] == "deal.created"
    assert body["data"]["object"]["id"] == deal["id"]
    # Whatever a second dispatch of the first event would send comes before what follows it.
    post_deal(installation.client("seller"), "a sign of life")
    receiver.wait_for(2, 30)
    names = [request.json()["data"]["object"]["name"] for request in receiver.requests]
    assert names == ["the last words", "a sign of life"]


def test_what_a_killed_worker_was_sending_is_sent_when_it_is_back(
    installation: Installation, receiver: Receiver
) -> None:
    """It is killed with all places of its endpoint taken by slow requests."""
    seller = installation.client("seller")
    register(seller, receiver)
    receiver.answer("/hook", *[Answer(204, delay=60)] * ENDPOINT_CAP, Answer(204))
    deals = {post_deal(seller, f"deal {number}")["id"] for number in range(ENDPOINT_CAP * 4)}
    receiver.wait_for(ENDPOINT_CAP, 30)

    installation.signal("fast@", signal.SIGKILL)

    requests = receiver.wait_for(len(deals) + ENDPOINT_CAP, LEASE_SECONDS / 3)
    again = requests[ENDPOINT_CAP:]
    assert Counter(request.json()["data"]["object"]["id"] for request in again) == Counter(deals)


def test_two_workers_and_two_webs_lose_and_double_nothing(
    installation: Installation, receiver: Receiver
) -> None:
    second_port = free_port()
    commands = {
        row.name: row.command
        for row in processes(port=second_port, run_dir=installation.data_dir / "run")
    }
    installation.add(commands["worker-fast"].replace("fast@", "second@"))
    installation.add(commands["web"])
    register(installation.client("seller"), receiver)
    wait_until(lambda: answers(installation.client("seller", second_port)), seconds=30)

    def post(number: int) -> str:
        port = second_port if number % 2 else installation.port
        return str(post_deal(installation.client("seller", port), f"deal {number}")["id"])

    with ThreadPoolExecutor(8) as pool:
        deals = list(pool.map(post, range(DEALS)))

    receiver.wait_for(DEALS, 60)
    received = Counter(request.json()["data"]["object"]["id"] for request in receiver.requests)
    assert received == Counter(deals)
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == DEALS
    in_feed = [event for event in feed(installation.client("seller")) if event["subject"] in deals]
    assert Counter(event["subject"] for event in in_feed) == Counter(deals)
    given = [event["position"] for event in in_feed]
    assert given == sorted(given)


def test_with_valkey_frozen_a_post_is_answered_and_what_it_owes_is_done_afterwards(
    installation: Installation, receiver: Receiver
) -> None:
    seller = installation.client("seller")
    register(seller, receiver)
    post_deal(seller, "before")
    receiver.wait_for(1, 30)

    installation.signal("valkey-server", signal.SIGSTOP)
    try:
        frozen = [post_deal(seller, f"frozen {number}")["id"] for number in range(5)]
    finally:
        installation.signal("valkey-server", signal.SIGCONT)

    requests = receiver.wait_for(6, 60)
    assert {request.json()["data"]["object"]["id"] for request in requests[1:]} == set(frozen)


def test_what_a_worker_counts_is_told_by_web(
    installation: Installation, receiver: Receiver
) -> None:
    seller = installation.client("seller")
    register(seller, receiver)

    post_deal(seller, "counted")

    receiver.wait_for(1, 30)
    address = f"http://127.0.0.1:{installation.port}/metrics"
    wait_until(lambda: b"tradepost_webhook_attempt_seconds_count 1.0" in urlopen(address).read())


def register(client: Client, receiver: Receiver) -> Any:
    return client.call(
        "POST",
        "/webhook-endpoints",
        {"url": receiver.url("/hook"), "event_types": ["deal.*"]},
    )


def post_deal(client: Client, name: str) -> Any:
    return client.call(
        "POST",
        "/deals",
        {
            "name": name,
            "total_price": 1000,
            "currency": "EUR",
            "items": [{"name": "one", "price": 1000}],
        },
    )


def answers(client: Client) -> bool:
    try:
        return bool(client.call("GET", "/me"))
    except OSError:
        return False


def feed(client: Client) -> list[dict[str, Any]]:
    """Every `deal.created` that the client may see, page by page."""
    found: list[dict[str, Any]] = []
    after = 0
    query = "types=deal.created&limit=200"
    while page := client.call("GET", f"/events?after={after}&{query}")["results"]:
        found += page
        after = page[-1]["position"]
    return found
