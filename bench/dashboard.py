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
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings  # noqa: E402 - needs the settings
from django.core.management import call_command  # noqa: E402
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
    call_command("collectstatic", interactive=False, verbosity=0)
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
    waited = sum(float(query["time"]) for query in queries)
    print(f"{len(queries)} queries, {waited * 1000:.0f} ms in all")
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
    """Print the median and the worst of some calls, after one that warms up, and the processor's time that
    one took: of this process and of PostgreSQL. On a busy machine the rest is waiting for a turn."""
    call()
    seconds = []
    own, server = time.process_time(), server_seconds()
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    own, server = time.process_time() - own, server_seconds() - server
    print(
        f"{name}: median {statistics.median(seconds) * 1000:.0f} ms, worst {max(seconds) * 1000:.0f} ms;"
        f" processor {own / rounds * 1000:.0f} ms here, {server / rounds * 1000:.0f} ms in PostgreSQL",
        flush=True,
    )


def server_seconds() -> float:
    """The processor's time that all of PostgreSQL's connections of this database have had; they run on this
    machine."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'")
        pids = [row[0] for row in cursor.fetchall()]
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e9


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
