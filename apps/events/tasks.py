"""Celery's door to the dispatcher."""

from apps.common.tasks import job
from apps.events import dispatch as dispatcher
from apps.events.publishing import DISPATCH


@job(DISPATCH)
def dispatch() -> bool:
    """Give positions, let handlers catch up."""
    return dispatcher.dispatch()
