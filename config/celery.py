"""The Celery application. Tasks are wake-ups; what is owed stands in PostgreSQL (docs/adr/0001)."""

import os
import warnings

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import worker_ready

from apps.common.garbage import spare_what_is_loaded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# It warns of root and of unknown groups because pickled messages could do harm; ours are JSON.
warnings.simplefilter("ignore", SecurityWarning)

app = Celery("tradepost")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
def _when_ready(**_: object) -> None:
    spare_what_is_loaded()
