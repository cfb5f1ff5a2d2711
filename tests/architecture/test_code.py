"""Rules about the code itself that no linter of ours knows."""

import ast
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import current_app
from django.conf import settings
from django.core.management import call_command
from django.test import Client

from apps.common.errors import DomainError

ROOT = Path(__file__).resolve().parents[2]
FILES = [path for folder in ("apps", "config") for path in sorted((ROOT / folder).rglob("*.py"))]


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def test_no_task_is_put_off_by_celery() -> None:
    """When something is due is a column; a countdown lives in Redis, which may lose it."""
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in FILES
        for call in calls(path)
        if {keyword.arg for keyword in call.keywords} & {"countdown", "eta"}
    ]

    assert found == []


def test_wake_ups_are_sent_from_one_place() -> None:
    """Anything else would wait for a Redis that is frozen."""
    senders = {"delay", "apply_async", "delay_on_commit", "apply_async_on_commit", "send_task"}
    found = {
        str(path.relative_to(ROOT))
        for path in FILES
        for call in calls(path)
        if isinstance(call.func, ast.Attribute)
        and (
            call.func.attr in senders
            or (call.func.attr == "publish" and "routing_key" in {k.arg for k in call.keywords})
        )
    }

    assert found == {"apps/common/wakeups.py"}


def test_every_job_has_a_task_and_every_task_a_job() -> None:
    current_app.loader.import_default_modules()

    tasks = {name for name in current_app.tasks if not name.startswith("celery.")}

    assert tasks == {*settings.JOBS, "common.sweep"}


def test_beat_sweeps_every_job_as_often_as_the_table_says() -> None:
    swept = [
        (name, entry["options"]["queue"], entry["schedule"])
        for entry in settings.CELERY_BEAT_SCHEDULE.values()
        for name in entry["args"][0]
    ]

    assert sorted(swept) == sorted((name, *job) for name, job in settings.JOBS.items())


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    said = io.StringIO()

    try:
        call_command("makemigrations", "--check", "--dry-run", stdout=said, stderr=said)
    except SystemExit:
        pytest.fail(said.getvalue())


def test_no_signal_carries_business() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in FILES
        if "django.db.models.signals" in path.read_text()
    ]

    assert found == []


def _errors(base: type[DomainError] = DomainError) -> Iterator[type[DomainError]]:
    for kind in base.__subclasses__():
        if kind.__module__.startswith("apps."):
            yield kind
            yield from _errors(kind)


# What carries the code of one wrong field, not of a whole problem.
OF_ONE_FIELD = {"ErrorDetail", "ValidationError"}


def _codes() -> set[str]:
    """Every code that a problem of ours can carry."""
    named = {
        keyword.value.value
        for path in FILES
        for call in calls(path)
        if ast.unparse(call.func).rpartition(".")[2] not in OF_ONE_FIELD
        for keyword in call.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    }
    return {str(code) for code in named} | {kind.code for kind in _errors()}


@pytest.mark.parametrize("kind", list(_errors()), ids=lambda kind: kind.__name__)
def test_every_error_is_named_and_titled(kind: type[DomainError]) -> None:
    assert kind.code.replace("_", "").isalpha()
    assert kind.code.islower()
    assert kind.title
    assert kind.__doc__ or kind.__mro__[1] is not DomainError


def test_every_code_is_documented() -> None:
    page = Client().get("/api/problems").content.decode()

    assert _codes() - set(re.findall(r'<tr id="(\w+)">', page)) == set()
