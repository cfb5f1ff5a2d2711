"""How long the dashboard takes over millions of rows.

`python -m deploy.local exec --throwaway -- python -m bench.dashboard [ORDERS] [ROUNDS]` fills an empty
database with ORDERS orders (5,000,000), as many events, twice as many deliveries with their attempts and a
tenth of the rest (bench.filling; about half an hour), counts the hours as the job does, and times the page
and each panel as a superuser sees them. Statements that took more than 20 ms are printed.

A database that has orders is taken as it is.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings  # noqa: E402 - needs the settings
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from apps.accounts.models import User  # noqa: E402
from apps.backoffice.dashboard.hours import count_hours  # noqa: E402
from apps.backoffice.dashboard.page import PANELS  # noqa: E402
from apps.common import clock  # noqa: E402
from bench.filling import fill  # noqa: E402

SLOW_SECONDS = 0.02


def main(orders: int = 5_000_000, rounds: int = 20) -> None:
    if "orders_order" not in connection.introspection.table_names():
        fill(orders)
    before = time.perf_counter()
    while count_hours():
        pass
    print(f"all hours counted: {time.perf_counter() - before:.2f} s")
    report("a later look of the job", 5, count_hours)
    for entry in PANELS:
        report(entry.key, rounds, lambda build=entry.build: build(clock.now()))  # type: ignore[misc]
    browser = signed_in()
    report("the panels as they are polled", rounds, lambda: browser.get("/admin/dashboard"))
    report("the page", rounds, lambda: browser.get("/admin/"))
    with CaptureQueriesContext(connection) as queries:
        browser.get("/admin/dashboard")
    print(f"{len(queries)} queries")
    for query in queries:
        if float(query["time"]) > SLOW_SECONDS:
            print(f"{query['time']} s: {query['sql']}")


def signed_in() -> Client:
    """A superuser's browser."""
    settings.ALLOWED_HOSTS.append("testserver")
    user, _ = User.objects.get_or_create(
        username="bench", defaults={"is_staff": True, "is_superuser": True}
    )
    browser = Client()
    browser.force_login(user)
    return browser


def report(name: str, rounds: int, call: Callable[[], object]) -> None:
    """Print the median and the worst of some calls, after one that warms up."""
    call()
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    median, worst = statistics.median(seconds), max(seconds)
    print(f"{name}: median {median * 1000:.0f} ms, worst {worst * 1000:.0f} ms", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
