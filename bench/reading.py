"""Reads pages of the long lists in a database that it fills: for bench.lists, which compares two.

`python -m deploy.local exec --throwaway -- python -m bench.reading ROWS` prints p99 in seconds of the first page of
each list, one in the middle and one near the end, as an account among those that have the most. All that the
web process does for them is done here, but for the server's own part.
"""

import json
import os
import statistics
import sys
import time
from datetime import timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings  # noqa: E402 - needs the settings
from django.db.models import Max  # noqa: E402
from django.test import Client  # noqa: E402

from apps.accounts.models import Account  # noqa: E402
from apps.accounts.services import issue_key  # noqa: E402
from apps.common import clock  # noqa: E402
from apps.common.api.pagination import Cursor  # noqa: E402
from apps.common.ids import uuid7_at  # noqa: E402
from apps.events.models import Event  # noqa: E402
from bench.filling import fill  # noqa: E402

READS = 200
DEPTHS = {"first": 0, "middle": 15, "deep": 29}  # days back, of 30


def main(rows: int) -> None:
    fill(rows)
    settings.ALLOWED_HOSTS.append("testserver")
    print(json.dumps({name: p99(path) for name, path in pages().items()}))


def pages() -> dict[str, str]:
    """The path of each page by what it is called."""
    last = Event.objects.aggregate(last=Max("position"))["last"]
    found = {}
    for depth, days in DEPTHS.items():
        cursor = Cursor(uuid7_at(clock.now() - timedelta(days=days)), backwards=False).encode()
        for kind in ("orders", "deals"):
            found[f"GET /{kind}, {depth} page"] = f"/api/v1/{kind}?cursor={cursor}"
        after = last * days // 30
        found[f"GET /events, {depth} page"] = f"/api/v1/events?after={after}"
    return found


def p99(path: str) -> float:
    account = Account.objects.get(slug="account-1")
    scopes = ["orders:read", "deals:read", "events:read"]
    key = issue_key(account_id=account.id, name="bench", scopes=scopes, rate_limit=1_000_000)
    client = Client(headers={"x-api-key": key.plain})
    seconds = []
    for _ in range(READS):
        started = time.perf_counter()
        answer = client.get(path)
        seconds.append(time.perf_counter() - started)
        if not answer.json()["results"]:
            raise SystemExit(f"Nothing at {path}: {answer.content.decode()}")
    return statistics.quantiles(seconds, n=100)[98]


if __name__ == "__main__":
    main(int(sys.argv[1]))
