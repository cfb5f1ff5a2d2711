"""Health: the process, and everything that it needs."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client

from apps.common.models import Heartbeat
from apps.common.tasks import maintain
from tests.support.outages import frozen, redis_at, refused


def test_a_process_that_answers_is_up() -> None:
    answer = Client().get("/healthz")

    assert answer.status_code == 200
    assert answer.json() == {"status": "ok"}


def beat(queue: str, *, seconds_ago: float = 0) -> None:
    Heartbeat.objects.create(
        worker=f"{queue}@{seconds_ago}",
        queue=queue,
        seen_at=Now() - timedelta(seconds=seconds_ago),
    )


def readiness() -> tuple[int, dict[str, Any]]:
    answer = Client().get("/readyz")
    return answer.status_code, answer.json()["checks"]


@pytest.mark.django_db
def test_with_database_broker_and_workers_it_is_ready() -> None:
    readiness()  # the first one of a process looks through all migrations, and heartbeats grow old
    beat("fast")
    beat("slow", seconds_ago=59)
    beat("slow", seconds_ago=500)

    status, checks = readiness()

    assert status == 200
    assert all(check["ok"] for check in checks.values())


@pytest.mark.django_db
@pytest.mark.parametrize("slow", [None, 61])
def test_without_a_worker_of_each_queue_it_is_not(slow: int | None) -> None:
    beat("fast")
    if slow is not None:
        beat("slow", seconds_ago=slow)

    status, checks = readiness()

    assert status == 503
    assert [name for name, check in checks.items() if not check["ok"]] == ["workers"]


@pytest.mark.django_db
@pytest.mark.parametrize("state", [frozen, refused])
def test_without_the_broker_it_is_not(state: Any) -> None:
    beat("fast")
    beat("slow")

    with state() as url, redis_at(url):
        status, checks = readiness()

    assert status == 503
    assert [name for name, check in checks.items() if not check["ok"]] == ["broker"]
    assert "127.0.0.1" not in str(checks)


@pytest.mark.django_db
def test_heartbeats_of_workers_that_are_gone_are_cleared_away() -> None:
    beat("fast")
    beat("slow", seconds_ago=2 * 86_400)

    maintain()

    assert [each.queue for each in Heartbeat.objects.all()] == ["fast"]
