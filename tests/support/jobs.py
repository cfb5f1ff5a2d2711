"""What workers would do, done here and now."""

from celery import current_app
from django.conf import settings

from apps.events.models import Event
from apps.webhooks.delivering import delivering

# Of no use to a test that did not ask for them: they need a worker, or take their time.
_UNASKED = ("common.heartbeat.", "common.maintain")
MAX_ROUNDS = 20
MAX_SECONDS = 20.0


def run_jobs() -> None:
    """Run every reconciler of `settings.JOBS`, in its order, until no event is left to dispatch.

    What is delivered has been recorded when it returns; webhooks need `transaction=True`, since the
    sender records on a connection of its own.
    """
    current_app.loader.import_default_modules()
    names = [name for name in settings.JOBS if not name.startswith(_UNASKED)]
    for _ in range(MAX_ROUNDS):
        for name in names:
            if name in current_app.tasks:
                current_app.tasks[name]()
        assert delivering.sender.wait_until_empty(MAX_SECONDS)
        if not Event.objects.filter(position=None).exists():
            return
    raise AssertionError(f"after {MAX_ROUNDS} rounds there are still events to dispatch")
