"""Celery's door to the accounts."""

from apps.accounts import trimming
from apps.common.tasks import job


@job("accounts.trim")
def trim() -> bool:
    """Forget old sign-ins and changes by people."""
    return trimming.trim()
