"""Celery's doors to the event log."""

from apps.common.tasks import job
from apps.events import dispatch as dispatcher
from apps.events import trimming
from apps.events.publishing import DISPATCH


@job(DISPATCH, gets_on=dispatcher.gets_on)
def dispatch() -> bool:
    """Give positions, let handlers catch up."""
    return dispatcher.dispatch()


@job("events.trim")
def trim() -> bool:
    """Forget what belongs to events that have been dropped."""
    return trimming.trim_readers()
