"""Health: `/healthz` says that the process is up, `/readyz` that everything it needs is."""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError

from apps.common import besteffort
from apps.common.api.responses import Json
from apps.common.selectors import seconds_since_heartbeat

STALE_SECONDS = 60.0


class _Unmigrated(Exception):
    """There are unapplied migrations; an exception, because `cache` does not keep those."""


def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers; nothing else is asked."""
    return Json({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """200 when database, broker, migrations and both queues' workers are fine, 503 otherwise."""
    checks = {
        "database": _checked(_database),
        "broker": _checked(_broker),
        "migrations": _checked(_migrations),
        "workers": _checked(_workers),
    }
    ok = all(check["ok"] for check in checks.values())
    status = "ok" if ok else "unavailable"
    return Json({"status": status, "checks": checks}, status=200 if ok else 503)


def _checked(check: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return check()
    except (DatabaseError, InterfaceError, RedisError, OSError) as error:
        # The kind of error only: its text can hold addresses and user names.
        return {"ok": False, "error": type(error).__name__}


def _database() -> dict[str, Any]:
    started = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return {"ok": True, "milliseconds": round((time.monotonic() - started) * 1000, 1)}


def _broker() -> dict[str, Any]:
    started = time.monotonic()
    besteffort.client().ping()
    return {"ok": True, "milliseconds": round((time.monotonic() - started) * 1000, 1)}


@cache
def _are_migrated() -> bool:
    """Remembered once true: reading the migrations takes a while, and nobody unapplies them."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise _Unmigrated
    return True


def _migrations() -> dict[str, Any]:
    try:
        return {"ok": _are_migrated()}
    except _Unmigrated:
        return {"ok": False, "error": "run `manage.py prepare`"}


def _workers() -> dict[str, Any]:
    ages = seconds_since_heartbeat()
    queues = {
        queue: {"seen_seconds_ago": None if age is None else round(age, 1)}
        for queue in sorted({job.queue for job in settings.JOBS.values()})
        for age in [ages.get(queue)]
    }
    ok = all(
        queue["seen_seconds_ago"] is not None and queue["seen_seconds_ago"] < STALE_SECONDS
        for queue in queues.values()
    )
    return {"ok": ok, "queues": queues}
