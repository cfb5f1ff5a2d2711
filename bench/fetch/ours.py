"""A run of a stream, as a worker reads it: `python -m bench.fetch.ours` reads what is due and tells what it cost.

It has loaded what a worker has when it is ready, so that its memory is that of a worker which reads.
"""

import django

from config.worker import take_settings

take_settings()
django.setup()

from apps.common.garbage import spare_what_is_loaded  # noqa: E402 - needs the settings
from apps.datafetch.services import reading  # noqa: E402
from bench.measuring import cost_of, tell  # noqa: E402
from config.celery import app  # noqa: E402


def read() -> None:
    while reading.read_some():
        pass


if __name__ == "__main__":
    app.loader.import_default_modules()
    spare_what_is_loaded()
    tell(cost_of(read))
