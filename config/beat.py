"""`python -m config.beat FILE`: Celery's beat, which tells workers when to sweep; FILE is what it remembers.

It knows the table of jobs and the broker, neither Django nor any app (docs/adr/0034).
"""

import logging.config
import sys

from celery import Celery

from config.settings.logs import LOGGING

app = Celery("tradepost", fixups=[], set_as_current=False)
app.config_from_object("config.settings.jobs", namespace="CELERY")


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    logging.config.dictConfig(LOGGING)
    app.Beat(schedule=sys.argv[1], loglevel="INFO", quiet=True).run()


if __name__ == "__main__":
    main()
