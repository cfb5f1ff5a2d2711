"""A run of a stream, as a worker reads it: `python -m bench.fetch.ours ACCOUNT STREAM` tells what it cost.

It has loaded what a worker has when it is ready, so that its memory is that of a worker which reads, and has looked for
work once before the run is due, as a worker does every second: its connections are open.
"""

import sys
from uuid import UUID

import django

from config.worker import take_settings

take_settings()
django.setup()

from apps.common.actor import system  # noqa: E402 - needs the settings
from apps.common.garbage import spare_what_is_loaded  # noqa: E402
from apps.datafetch.services import due  # noqa: E402
from apps.datafetch.services.commands import run_stream  # noqa: E402
from bench.measuring import cost_of, tell  # noqa: E402
from config.celery import app  # noqa: E402


def read() -> None:
    while due.read_some():
        pass


if __name__ == "__main__":
    app.loader.import_default_modules()
    spare_what_is_loaded()
    read()
    account_id, stream_id = map(UUID, sys.argv[1:])
    run_stream(account_id=account_id, stream_id=stream_id, actor=system("bench"))
    tell(cost_of(read))
