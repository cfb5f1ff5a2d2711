"""Celery's door to the back office."""

from apps.backoffice.dashboard import hours
from apps.common.tasks import job


@job(hours.JOB, at_once=1)
def count_hours() -> bool:
    """Count up the hours that the dashboard shows."""
    return hours.count_hours()
