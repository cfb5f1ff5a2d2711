"""How long after a change of 1,000 customers HubSpot has confirmed each, and with how many calls.

`python -m bench.customers [COUNT] [SECONDS]` works against what `make run` started, whose simulated HubSpot
takes SECONDS for each call (0.3). The limit is a call for each 100 customers.
"""

import json
import math
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

from bench.figures import tell, tell_latencies
from sandbox.client import Client, data_dir, read_demo
from sandbox.demo import simulated_hubspot

THREADS = 16
PATIENCE_SECONDS = 300.0
PER_CALL = 100

_local = threading.local()


def main(count: int = 1000, seconds: float = 0.3) -> None:
    demo = read_demo()
    simulator = simulated_hubspot(data_dir())
    if not simulator:
        sys.exit("This Tradepost talks to a real HubSpot: not with a thousand made-up customers.")
    set_latency(simulator, seconds)
    call = caller(demo["base_url"], demo["accounts"]["crm"]["api_key"])
    call("PUT", "/crm/connection", {"access_token": "bench"})
    customers = made(call, count)
    await_sync(call)
    before = call("GET", "/crm/connection")["hubspot"]["calls"]
    answered = changed(call, customers)
    await_sync(call)
    calls = call("GET", "/crm/connection")["hubspot"]["calls"] - before
    report(count, calls, waits(call, answered))


def made(call: Callable[..., Any], count: int) -> list[str]:
    """The ids of new customers."""
    run = uuid4().hex[:8]

    def make(number: int) -> str:
        body = {"email": f"{run}-{number}@bench.example", "first_name": "before"}
        return str(call("POST", "/customers", body)["id"])

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(make, range(count)))


def changed(call: Callable[..., Any], customers: Sequence[str]) -> dict[str, datetime]:
    """Change each of them; when each change was made."""

    def change(customer: str) -> tuple[str, datetime]:
        answer = call("PATCH", f"/customers/{customer}", {"first_name": "after"})
        return customer, datetime.fromisoformat(answer["updated_at"])

    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        answered = dict(pool.map(change, customers))
    print(f"changed {len(customers)} customers within {time.perf_counter() - started:.1f} s")
    return answered


def waits(call: Callable[..., Any], answered: dict[str, datetime]) -> list[float]:
    """Seconds from each change to HubSpot's confirmation of it, shortest first."""
    return sorted(
        (confirmed(call, customer) - at).total_seconds() for customer, at in answered.items()
    )


def confirmed(call: Callable[..., Any], customer: str) -> datetime:
    return datetime.fromisoformat(call("GET", f"/customers/{customer}")["crm"]["synced_at"])


def await_sync(call: Callable[..., Any]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while call("GET", "/customers?state=pending&limit=1")["results"]:
        if time.monotonic() > deadline:
            sys.exit(f"After {PATIENCE_SECONDS:.0f} s customers are pending still.")
        time.sleep(0.2)


def set_latency(simulator: str, seconds: float) -> None:
    body = json.dumps({"latency_seconds": seconds}).encode()
    headers = {"Content-Type": "application/json"}
    with urlopen(
        Request(f"{simulator}/_control/settings", body, headers, method="PATCH")
    ) as answer:
        answer.read()


def caller(base_url: str, api_key: str) -> Callable[..., Any]:
    """Calls on a connection of the thread's own; one that was idle for too long is made anew."""

    def call(method: str, path: str, body: Any = None) -> Any:
        if not hasattr(_local, "client"):
            _local.client = Client(base_url, api_key)
        try:
            return _local.client.call(method, path, body)
        except ConnectionError:
            _local.client.close()
            _local.client = Client(base_url, api_key)
            return _local.client.call(method, path, body)

    return call


def report(count: int, calls: int, seconds: Sequence[float]) -> None:
    tell_latencies(f"{count:,} changed customers, change to confirmed", seconds)
    tell("calls to HubSpot for them", calls, "calls", math.ceil(count / PER_CALL))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *map(float, sys.argv[2:3]))
