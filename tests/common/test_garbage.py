"""What a process has loaded is not looked at again by the garbage collector."""

import subprocess
import sys

LOADED = 100_000  # objects, and there are twice as many


def test_a_web_process_spares_its_views() -> None:
    counted = "import gc, sys, config.wsgi; print(gc.get_freeze_count(), 'apps.orders.api.views' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", counted], check=True, capture_output=True, text=True
    )

    count, has_views = done.stdout.split()
    assert int(count) > LOADED
    assert has_views == "True"


def test_a_worker_that_is_ready_spares_its_tasks() -> None:
    counted = (
        "import gc, config.celery, django; from celery.signals import worker_ready; django.setup();"
        " worker_ready.send(None); print(gc.get_freeze_count())"
    )

    done = subprocess.run(
        [sys.executable, "-c", counted], check=True, capture_output=True, text=True
    )

    assert int(done.stdout) > LOADED
