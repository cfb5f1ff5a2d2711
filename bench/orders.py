"""How many orders a second the web process places, beside what PostgreSQL takes by itself.

`python -m bench.orders [SECONDS]` against what `make run` started: 16 connections place orders of two
lines out of 1,000 products, then orders of one hot product. The limit, in the same run, is pgbench
writing the same rows with one prepared statement (bench/limit_of_orders.sql), 16 clients too, before and
after ours. Client, web, workers and PostgreSQL share the machine. What each process burns for an order
is printed too: on a machine with other work it says more than the rate. CPU counts until the events
of the orders have been dispatched. Last, RATE orders a second are placed, whether answered or not: how long
an order takes where not as many come as can.
"""

import asyncio
import random
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import mean
from typing import Any

import psycopg

from bench import pgbench
from bench.cpu import Usage
from bench.figures import tell, tell_latencies
from bench.load import CONNECTIONS, Call, Run, closed_loop, open_loop
from config.settings.env import DATABASE_URL
from sandbox.client import ApiError, Client, read_demo

PRODUCTS = 1000
STOREFRONT = "bench"
PLENTY = 1_000_000_000
WARM_UP_SECONDS = 2.0
RATE = 200
LIMIT = Path(__file__).with_name("limit_of_orders.sql")
TABLES = ("stock", "order", "orderline", "stockmovement", "orderchange")

Items = list[dict[str, Any]]


def main(seconds: float = 10.0) -> None:
    accounts = read_demo()
    url, shop = accounts["base_url"], accounts["accounts"]["storefront"]
    stock_up(url, shop["api_key"])
    place(url, shop["api_key"], WARM_UP_SECONDS, two_of_many)
    with copied_tables():
        cold = compare("cold", seconds, url, shop["api_key"], two_of_many, products=PRODUCTS)
        hot = compare("hot", seconds, url, shop["api_key"], the_hot_one, products=1)
    tell("POST /orders, hot beside cold", hot.per_second, "/s", cold.per_second)
    steady = asyncio.run(open_loop(url, shop["api_key"], seconds, RATE, order_of(two_of_many)))
    tell_latencies(f"POST /orders at {RATE}/s", steady.latencies)


def compare(
    name: str, seconds: float, url: str, key: str, basket: Callable[[], Items], *, products: int
) -> Run:
    """Print what pgbench and what the web process manage with baskets of this kind."""
    limits = [pgbench.per_second(LIMIT, seconds / 2, products=products)]
    before = Usage.now()
    run = place(url, key, seconds, basket)
    wait_for_dispatch()
    burnt = Usage.now().since(before)
    limits.append(pgbench.per_second(LIMIT, seconds / 2, products=products))
    limit = mean(limits)
    tell(f"POST /orders, {name}", run.per_second, "/s", limit)
    tell_latencies(f"POST /orders, {name}", run.latencies)
    burnt.tell(f"POST /orders, {name}", len(run.latencies))
    return run


def wait_for_dispatch() -> None:
    """Return when every event has its position: what an order causes has then been done, or nearly."""
    with psycopg.connect(DATABASE_URL, autocommit=True) as connection:
        pending = "SELECT EXISTS (SELECT FROM events_event WHERE position IS NULL)"
        while connection.execute(pending).fetchone() == (True,):
            time.sleep(0.05)


def stock_up(url: str, key: str) -> None:
    """A storefront and the products, with enough of each for any run."""
    client = Client(url, key)
    with suppress(ApiError):  # there from an earlier run
        client.call("POST", "/storefronts", {"code": STOREFRONT, "name": "B", "currency": "EUR"})
    client.close()

    def stock(numbers: range) -> None:
        client = Client(url, key)
        for number in numbers:
            product = {"name": f"Benchmark {number}", "price": 1250, "currency": "EUR"}
            client.call("PUT", f"/products/by-sku/{_sku(number)}", {**product, "stock": PLENTY})
        client.close()

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        shares = [range(first, PRODUCTS + 1, CONNECTIONS) for first in range(1, CONNECTIONS + 1)]
        list(threads.map(stock, shares))


def two_of_many() -> Items:
    first = random.randint(1, PRODUCTS)
    return [{"sku": _sku(n), "quantity": 1} for n in (first, 1 + first % PRODUCTS)]


def the_hot_one() -> Items:
    return [{"sku": _sku(1), "quantity": 1}]


def place(url: str, key: str, seconds: float, basket: Callable[[], Items]) -> Run:
    """Place orders for so many seconds, each connection the next when the last is answered."""
    return asyncio.run(closed_loop(url, key, seconds, order_of(basket)))


def order_of(basket: Callable[[], Items]) -> Callable[[], Call]:
    """Makes calls that each place what `basket` fills."""

    def order() -> Call:
        body = {"storefront": STOREFRONT, "customer_id": "customer-1", "items": basket()}
        return Call("POST", "/orders", body)

    return order


@contextmanager
def copied_tables() -> Iterator[None]:
    """What the limit writes to, while the block runs."""
    names = (*(f"orders_{name}" for name in TABLES), "events_event")
    with pgbench.copies(*names) as connection:
        connection.execute("CREATE SEQUENCE bench.number")
        connection.execute("ALTER TABLE bench.orders_stock SET (fillfactor = 50)")
        connection.execute(
            "CREATE TABLE bench.product AS SELECT n::int, uuidv7() AS id"
            f" FROM generate_series(1, {PRODUCTS}) n; ALTER TABLE bench.product ADD PRIMARY KEY (n);"
            " INSERT INTO bench.orders_stock (product_id, on_hand, reserved, is_low)"
            f" SELECT id, {PLENTY}, 0, false FROM bench.product"
        )
        yield


def _sku(number: int) -> str:
    return f"BENCH-{number:04}"


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
