"""What is forgotten of people, so that these tables stay small: sign-ins, and what they changed long ago."""

from datetime import timedelta
from typing import Any

from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.db.models.functions import Now

BATCH = 5000
SIGN_INS_KEPT = timedelta(days=180)
CHANGES_KEPT = timedelta(days=730)


def trim() -> bool:
    """Forget sessions that have ended, wrong passwords that lock nobody out any more, who signed in half a
    year ago, and what people did here two years ago; True when there may be more."""
    sessions = Session.objects.filter(expire_date__lt=Now())
    attempts = AccessAttempt.objects.filter(attempt_time__lt=Now() - settings.AXES_COOLOFF_TIME)
    logs = AccessLog.objects.filter(attempt_time__lt=Now() - SIGN_INS_KEPT)
    changes = LogEntry.objects.filter(action_time__lt=Now() - CHANGES_KEPT)
    return any([_trim(sessions), _trim(attempts), _trim(logs), _trim(changes)])


def _trim(rows: "QuerySet[Any]") -> bool:
    doomed = rows.order_by("pk").values("pk")[:BATCH]
    count: int = rows.model._default_manager.filter(pk__in=doomed).delete()[0]
    return count >= BATCH
