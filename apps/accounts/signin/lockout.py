"""Who may try a password no more (`AXES_HANDLER`)."""

from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Sum
from django.db.models.functions import Now
from django.http import HttpRequest


class LockoutHandler(AxesDatabaseHandler):  # type: ignore[misc]  # axes has no types
    """Counts by name and address, as `AXES_LOCKOUT_PARAMETERS` say, and by address alone up to a higher limit:
    or one address could try the same few passwords for every name."""

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        failures: int = super().get_failures(request, credentials)
        if self._failures_of_address(request) < settings.FAILURES_OF_AN_ADDRESS:
            return failures
        return max(failures, settings.AXES_FAILURE_LIMIT)

    def _failures_of_address(self, request: Any) -> int:
        recent = AccessAttempt.objects.filter(
            ip_address=request.axes_ip_address,
            attempt_time__gt=Now() - settings.AXES_COOLOFF_TIME,
        )
        return recent.aggregate(total=Sum("failures_since_start"))["total"] or 0
