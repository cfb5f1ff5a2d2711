"""Old sign-ins and changes are forgotten, and nothing that still counts."""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt, AccessLog
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.sessions.models import Session
from django.db.models import F

from apps.accounts import trimming
from apps.accounts.models import User
from apps.common import clock

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def make_one_of_each() -> None:
    now = clock.now()
    number = Session.objects.count()
    Session.objects.create(session_key=f"s{number}", session_data="", expire_date=now + DAY)
    AccessLog.objects.create(username="boss", attempt_time=now)
    AccessAttempt.objects.create(username=f"name {number}", failures_since_start=1)
    person, _ = User.objects.get_or_create(username="boss")
    LogEntry.objects.create(user=person, action_flag=CHANGE, object_repr="MUG")


def counts() -> list[int]:
    return [model.objects.count() for model in (Session, AccessLog, AccessAttempt, LogEntry)]


def test_what_is_old_is_forgotten() -> None:
    make_one_of_each()
    Session.objects.update(expire_date=F("expire_date") - 2 * DAY)
    AccessLog.objects.update(attempt_time=F("attempt_time") - 181 * DAY)
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - DAY)
    LogEntry.objects.update(action_time=F("action_time") - 731 * DAY)
    make_one_of_each()

    assert trimming.trim() is False

    assert counts() == [1, 1, 1, 1]
    assert trimming.trim() is False
    assert counts() == [1, 1, 1, 1]


def test_a_slice_ends_and_says_that_there_is_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimming, "BATCH", 1)
    for _ in range(2):
        make_one_of_each()
    Session.objects.update(expire_date=F("expire_date") - 2 * DAY)

    assert trimming.trim() is True
    assert counts() == [1, 2, 2, 2]
    assert trimming.trim() is True
    assert trimming.trim() is False
