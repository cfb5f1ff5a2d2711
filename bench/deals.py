"""How soon webhooks follow at a fixed rate, and deals and changes of customers a second, against `make run`.

`python -m bench.deals [SECONDS]`: 50 deals a second are posted, whether answered or not, that five endpoints hear of;
the time is from a deal's `created_at` (PostgreSQL's clock, on this machine) to the arrival of each webhook at a process
of its own. That comes first, after a second of it that does not count: what the following leaves behind, autovacuum
among it, is not what 50 deals a second meet.

Then 16 connections post deals, then change customers, as fast as they are answered. The limit of the deals is pgbench
writing the same rows (bench/limit_of_deals.sql), 16 clients too, before and after.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from statistics import mean
from uuid import uuid4

from bench import pgbench
from bench.arrivals import Receiver
from bench.cpu import Usage
from bench.figures import tell, tell_latencies
from bench.load import Call, Run, closed_loop, open_loop
from sandbox.client import Client, read_demo
from sandbox.receiver import Received

LIMIT = Path(__file__).with_name("limit_of_deals.sql")
TABLES = ("deals_deal", "deals_dealitem", "deals_dealhistory", "events_event")
RATE = 50
ENDPOINTS = 5
CUSTOMERS = 200
WARM_UP_SECONDS = 1.0
HEARD_SECONDS = 2.0  # for each second of the loops: the slowest of a hundred are few
PATIENCE_SECONDS = 30.0


def main(seconds: float = 10.0) -> None:
    accounts = read_demo()
    url = accounts["base_url"]
    keys = {slug: account["api_key"] for slug, account in accounts["accounts"].items()}
    heard(url, keys["seller"], WARM_UP_SECONDS)
    waits = heard(url, keys["seller"], HEARD_SECONDS * seconds)
    tell_latencies(f"webhook at {RATE} deals/s to {ENDPOINTS} endpoints", waits)
    with pgbench.copies(*TABLES):
        limits = [pgbench.per_second(LIMIT, seconds / 2)]
        deals = loop("POST /deals", url, keys["seller"], seconds, a_deal)
        limits.append(pgbench.per_second(LIMIT, seconds / 2))
    tell("POST /deals", deals.per_second, "/s", mean(limits))
    tell_latencies("POST /deals, 16 connections", deals.latencies)
    turns = itertools.cycle(customers(url, keys["crm"]))
    changes = loop("PATCH /customers", url, keys["crm"], seconds, lambda: a_change(next(turns)))
    tell("PATCH /customers", changes.per_second, "/s")


def loop(case: str, url: str, key: str, seconds: float, make: Callable[[], Call]) -> Run:
    """As many calls as are answered, and the CPU that one takes, events dispatched."""
    before = Usage.now()
    run = asyncio.run(closed_loop(url, key, seconds, make))
    time.sleep(1)  # for the last events
    burnt = Usage.now().since(before)
    burnt.tell(case, len(run.latencies))
    return run


def a_deal() -> Call:
    item = {"name": "one", "price": 1000}
    body = {"name": "bench", "total_price": 1000, "currency": "EUR", "items": [item]}
    return Call("POST", "/deals", body)


def a_change(customer: str) -> Call:
    return Call("PATCH", f"/customers/{customer}", {"first_name": uuid4().hex})


def customers(url: str, key: str) -> list[str]:
    client = Client(url, key)
    run = uuid4().hex[:8]
    bodies = [{"email": f"{run}-{n}@bench.example"} for n in range(CUSTOMERS)]
    ids = [str(client.call("POST", "/customers", body)["id"]) for body in bodies]
    client.close()
    return ids


def heard(url: str, key: str, seconds: float) -> list[float]:
    """Seconds from each deal to each of its webhooks; SystemExit unless all come."""
    client = Client(url, key)
    with Receiver() as receiver, ExitStack() as stack:
        stack.callback(client.close)
        for number in range(ENDPOINTS):
            body = {"url": receiver.url(f"/{number}"), "event_types": ["deal.created"]}
            endpoint = client.call("POST", "/webhook-endpoints", body)
            stack.callback(client.call, "DELETE", f"/webhook-endpoints/{endpoint['id']}")
            receiver.trust(f"/{number}", endpoint["secret"])
        offset = time.time() - time.perf_counter()
        run = asyncio.run(open_loop(url, key, seconds, RATE, a_deal))
        expected = len(run.latencies) * ENDPOINTS
        until = time.monotonic() + PATIENCE_SECONDS
        while receiver.count < expected:
            if time.monotonic() > until:
                sys.exit(f"{receiver.count} of {expected} webhooks came.")
            time.sleep(0.1)
        return [call.at + offset - made(call) for call in receiver.received]


def made(call: Received) -> float:
    at: str = call.body["data"]["object"]["created_at"]
    return datetime.fromisoformat(at).timestamp()


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
