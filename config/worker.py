"""`python -m config.worker QUEUE NAME`: a worker of one queue; in its name %h is the host's.

As `celery worker` would be, but for what it loads: no admin pages, no API, no prompt (docs/adr/0034).
"""

import os
import sys

from celery.utils.nodenames import host_format

from config.celery import app

THREADS = 8


def take_settings() -> None:
    """Those of workers, and no checks: they load pages and URLs to look at them; `prepare` has made them."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.worker"
    os.environ["CELERY_SKIP_CHECKS"] = "true"


def main() -> int:
    """Work until SIGTERM; returns the exit status."""
    queue, name = sys.argv[1:]
    take_settings()
    worker = app.Worker(
        hostname=host_format(name),
        queues=queue,
        pool="threads",
        concurrency=THREADS,
        without_gossip=True,
        without_mingle=True,
        loglevel="INFO",
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
