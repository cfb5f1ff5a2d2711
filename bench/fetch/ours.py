"""A run of a stream, as a worker reads it: `python -m bench.fetch.ours` reads what is due and tells what it cost."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from apps.datafetch.services import reading  # noqa: E402 - needs the settings
from bench.measuring import cost_of, tell  # noqa: E402


def read() -> None:
    while reading.read_some():
        pass


if __name__ == "__main__":
    tell(cost_of(read))
