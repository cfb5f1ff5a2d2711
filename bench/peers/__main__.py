"""Deliveries a second, ours beside those of django-webhook.

`python -m deploy.local exec --throwaway -- python -m bench.peers [COUNT]`: COUNT webhooks to 100 endpoints, signed,
posted to the same receiver and stored with their outcome, once by us (dispatch and the fast path, one process) and once
by django-webhook 0.0.15 (a Celery worker of four processes on the same Valkey). What it is to send is queued before the
clock runs; our fan-out is within our time. Both are told as rates and in the processor's seconds, of the workers and of
PostgreSQL.

It needs a database that it may fill, and makes one more.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import django
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.core.management import call_command  # noqa: E402 - needs the settings

from apps.webhooks.delivering import delivering  # noqa: E402
from bench.deliveries import (  # noqa: E402
    Measured,
    answer,
    dispatch_all,
    make_endpoints,
    make_events,
    measure,
    postgres_seconds,
)
from bench.figures import tell  # noqa: E402
from bench.installation import ROOT  # noqa: E402
from bench.measuring import family_seconds  # noqa: E402
from bench.peers.environment import peer_python  # noqa: E402
from config.settings.env import DATABASE_URL  # noqa: E402

ENDPOINTS = 100
NAME = "bench_peer"
PROCESSES = 4
PATIENCE_SECONDS = 120.0
WARMING = 50


def main(count: int = 3000) -> None:
    python = peer_python("django-webhook")
    if python is None:
        return
    call_command("migrate", verbosity=0)
    with receiver() as url:
        make_events(make_endpoints(url, ENDPOINTS), count)
        ours = measure(count, dispatch_all)
        delivering.stop(10)
        theirs = by_peer(python, url, count)
    tell("webhooks delivered, beside django-webhook", ours.rate, "/s", theirs.rate)
    for who, one in (("ours", ours), ("django-webhook", theirs)):
        tell(f"1,000 deliveries, {who}", (one.here + one.postgres) * 1000 / one.count, "CPU s")


@contextmanager
def receiver() -> Iterator[str]:
    context = multiprocessing.get_context("spawn")
    port = context.Queue()
    process = context.Process(target=answer, args=(port,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{port.get(timeout=30)}"
    finally:
        process.terminate()


def by_peer(python: str, url: str, count: int) -> Measured:
    with psycopg.connect(DATABASE_URL, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {NAME}")
    server = {**conninfo_to_dict(DATABASE_URL), "dbname": NAME}
    names = {
        "NAME": "dbname",
        "USER": "user",
        "PASSWORD": "password",
        "HOST": "host",
        "PORT": "port",
    }
    database = {name: server.get(word) or "" for name, word in names.items()}
    environment = {**os.environ, "PEER_DATABASE": json.dumps(database)}
    # Without it Celery leaves connections open from task to task: three times as fast for it.
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    project = [python, "-m", "bench.peers.project"]
    subprocess.run(
        [*project, "fill", str(count), str(ENDPOINTS), url], cwd=ROOT, env=environment, check=True
    )
    options = f"-A bench.peers.project worker -Q warm --concurrency {PROCESSES} -l ERROR"
    worker = [python, "-m", "celery", *options.split()]
    with (
        subprocess.Popen(
            worker, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process,
        psycopg.connect(make_conninfo("", **server), autocommit=True) as connection,
    ):
        try:
            wait_for(connection, WARMING)
            before, postgres = family_seconds(process.pid), postgres_seconds()
            subprocess.run([*project, "go"], cwd=ROOT, env=environment, check=True)
            wait_for(connection, WARMING + count)
            spent = family_seconds(process.pid) - before, postgres_seconds() - postgres
        finally:
            process.terminate()
        (wall,) = connection.execute(_TOOK, [WARMING]).fetchone() or (0.0,)
    return Measured(count, float(wall), *spent)


_STATE = """
SELECT count(*), count(*) FILTER (WHERE status = 'PENDING') FROM django_webhook_webhookevent
"""

# From the first to the last one, by its own rows.
_TOOK = """
SELECT extract(epoch FROM max(created) - min(created))
  FROM (SELECT created FROM django_webhook_webhookevent ORDER BY id OFFSET %s) sent
"""


def wait_for(connection: psycopg.Connection, count: int) -> None:
    """Return when so many are sent, or tried: one that is refused without an answer it leaves as it is."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        tried, pending = connection.execute(_STATE).fetchone() or (0, 0)
        if tried >= count and pending <= tried // 100:
            return
        if time.monotonic() > until:
            sys.exit(f"django-webhook has not sent {count}: {tried} tried, {pending} pending.")
        time.sleep(0.1)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
