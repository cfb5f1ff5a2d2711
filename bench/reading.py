"""Reads pages of the long lists in a database that it fills: for bench.lists, which compares two.

`python -m deploy.local exec --throwaway -- python -m bench.reading ROWS` fills tables, then prints the names of the
pages that there are: the first of each list, one in the middle and one near the end, of an account among those that
have the most. For each line `NAME<tab>TIMES` on its input it reads that page so many times and prints the seconds
that each took. All that the web process does for them is done here, but for the server's own part.
"""

import json
import os
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
from apps.common.garbage import spare_what_is_loaded  # noqa: E402
from apps.common.ids import uuid7_at  # noqa: E402
from apps.events.models import Event  # noqa: E402
from bench.filling import LISTS, fill  # noqa: E402

WARMING = 20
DEPTHS = {"first": 0, "middle": 15, "deep": 29}  # days back, of 30


def main(rows: int) -> None:
    fill(rows, LISTS)
    settings.ALLOWED_HOSTS.append("testserver")
    client, paths = reader(), pages()
    for path in paths.values():
        for _ in range(WARMING):
            if not client.get(path).json()["results"]:
                raise SystemExit(f"Nothing at {path}.")
    spare_what_is_loaded()
    print(json.dumps(list(paths)), flush=True)
    for line in sys.stdin:
        name, times = line.split("\t")
        print(json.dumps([seconds(client, paths[name]) for _ in range(int(times))]), flush=True)


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


def reader() -> Client:
    account = Account.objects.get(slug="account-1")
    scopes = ["orders:read", "deals:read", "events:read"]
    key = issue_key(account_id=account.id, name="bench", scopes=scopes, rate_limit=1_000_000)
    return Client(headers={"x-api-key": key.plain})


def seconds(client: Client, path: str) -> float:
    started = time.perf_counter()
    client.get(path)
    return time.perf_counter() - started


if __name__ == "__main__":
    main(int(sys.argv[1]))
