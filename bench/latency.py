"""How long after a POST is answered its webhook arrives, against what `make run` started.

`python -m bench.latency [COUNT]` posts deals one after the other on an otherwise idle machine and waits
for each signed webhook, which a process of its own receives. The limit printed beside it is a bare POST to the same
receiver, signed in the same way, from this process: what the network and the receiver cost by themselves.
"""

import http.client
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import uuid4

from standardwebhooks import Webhook

from bench.arrivals import Receiver
from bench.figures import tell_latencies
from sandbox.client import Client, read_demo
from sandbox.receiver import Received

PATIENCE_SECONDS = 15.0


def main(count: int = 200) -> None:
    accounts = read_demo()
    seller = Client(accounts["base_url"], accounts["accounts"]["seller"]["api_key"])
    with Receiver() as receiver:
        endpoint = seller.call(
            "POST", "/webhook-endpoints", {"url": receiver.url("/b"), "event_types": ["deal.*"]}
        )
        receiver.trust("/b", endpoint["secret"])
        try:
            answered, received = deals(seller, receiver, count)
        finally:
            seller.call("DELETE", f"/webhook-endpoints/{endpoint['id']}")
            seller.close()
        limit = bare(receiver, endpoint["secret"], count)
    tell_latencies("POST /deals, request to answer", answered)
    tell_latencies("webhook, answer to received", received, limit)


def deals(seller: Client, receiver: Receiver, count: int) -> tuple[list[float], list[float]]:
    """Seconds from request to answer, and from answer to webhook (0 when it came before)."""
    answered, received = [], []
    for number in range(count):
        started = time.perf_counter()
        deal = seller.call(
            "POST",
            "/deals",
            {
                "name": f"bench {number}",
                "total_price": 1000,
                "currency": "EUR",
                "items": [{"name": "one", "price": 1000}],
            },
        )
        done = time.perf_counter()
        call = receiver.wait_for(about(deal["id"]), PATIENCE_SECONDS)
        if call is None:
            raise SystemExit(f"no webhook for deal {deal['id']} within {PATIENCE_SECONDS} s")
        answered.append(done - started)
        received.append(max(call.at - done, 0.0))
    return answered, received


def about(deal_id: str) -> Callable[[Received], bool]:
    return lambda call: bool(call.body["data"]["object"]["id"] == deal_id)


def bare(receiver: Receiver, secret: str, count: int) -> list[float]:
    address = urlsplit(receiver.url("/b"))
    connection = http.client.HTTPConnection(address.netloc)
    body = json.dumps({"type": "bench", "data": {"object": {"id": ""}}, "pad": "x" * 500})
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        at, message = datetime.now(tz=UTC), str(uuid4())
        headers = {
            "webhook-id": message,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(secret).sign(message, at, body),
            "content-type": "application/json",
        }
        connection.request("POST", "/b", body, headers)
        connection.getresponse().read()
        seconds.append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
