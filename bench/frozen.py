"""What a frozen Redis costs a POST, against what `make run` started.

`python -m bench.frozen PID [COUNT]` posts deals one after the other, first as usual, then with the
Redis server of that pid stopped (SIGSTOP); the limit beside it is the first of the two. The server is
let go on in any case.
"""

import os
import signal
import sys
import time

from bench.figures import tell_latencies
from bench.latency import PATIENCE_SECONDS, about
from sandbox.client import Client, read_demo
from sandbox.receiver import Receiver


def main(pid: int, count: int = 100) -> None:
    accounts = read_demo()
    seller = Client(accounts["base_url"], accounts["accounts"]["seller"]["api_key"])
    with Receiver() as receiver:
        endpoint = seller.call(
            "POST", "/webhook-endpoints", {"url": receiver.url("/f"), "event_types": ["deal.*"]}
        )
        receiver.trust("/f", endpoint["secret"])
        try:
            usual, _ = posts(seller, count)
            os.kill(pid, signal.SIGSTOP)
            try:
                frozen, last = posts(seller, count)
            finally:
                os.kill(pid, signal.SIGCONT)
            thawed = time.perf_counter()
            call = receiver.wait_for(about(last), PATIENCE_SECONDS)
        finally:
            seller.call("DELETE", f"/webhook-endpoints/{endpoint['id']}")
            seller.close()
    tell_latencies("limit: POST as usual", usual)
    tell_latencies("POST with Redis frozen", frozen)
    print(f"slowest with Redis frozen        {max(frozen) * 1000:.1f} ms")
    if call is None:
        raise SystemExit(f"the last webhook did not arrive within {PATIENCE_SECONDS} s")
    print(f"last webhook after the thaw      {max(call.at - thawed, 0) * 1000:.1f} ms")


def posts(seller: Client, count: int) -> tuple[list[float], str]:
    """Seconds of each POST, and the id of the last deal."""
    seconds, last = [], ""
    for number in range(count):
        body = {
            "name": f"frozen {number}",
            "total_price": 1000,
            "currency": "EUR",
            "items": [{"name": "one", "price": 1000}],
        }
        started = time.perf_counter()
        last = seller.call("POST", "/deals", body)["id"]
        seconds.append(time.perf_counter() - started)
    return seconds, last


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
