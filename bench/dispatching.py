"""Events a second through the dispatcher, beside the INSERT of the same rows.

`python -m deploy.local exec --throwaway -- python -m bench.dispatching [COUNT]`: COUNT events are stamped and
handed to every handler there is, where 100 endpoints listen to others. The limit is how fast PostgreSQL takes
the same rows by COPY, 500 in a transaction.
It needs a database that it may fill.
"""

import os
import sys
import time
from collections.abc import Iterator

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.core.management import call_command  # noqa: E402 - needs the settings
from django.db import transaction  # noqa: E402

from apps.common import clock  # noqa: E402
from apps.common.actor import system  # noqa: E402
from apps.common.ids import uuid7  # noqa: E402
from apps.events.dispatch import dispatch  # noqa: E402
from apps.events.models import Event  # noqa: E402
from apps.events.publishing import Draft, draft, publish_all  # noqa: E402
from apps.webhooks.events import DISABLED  # noqa: E402
from apps.webhooks.models import Endpoint  # noqa: E402
from bench.deliveries import OBJECT, make_endpoints  # noqa: E402
from bench.figures import tell  # noqa: E402

ENDPOINTS = 100
BATCH = 500


def main(count: int = 20_000) -> None:
    call_command("migrate", verbosity=0)
    targets = make_endpoints("http://127.0.0.1:9", ENDPOINTS)
    Endpoint.objects.update(event_types=["order.*"])
    while dispatch():
        pass
    batches = list(drafts(targets, count))
    begun = time.perf_counter()
    for batch in batches:
        with transaction.atomic():
            publish_all(batch)
    limit = count / (time.perf_counter() - begun)
    begun = time.perf_counter()
    while Event.objects.filter(position=None).exists():
        dispatch()
    tell("events stamped and handled", count / (time.perf_counter() - begun), "/s", limit)


def drafts(targets: list[Endpoint], count: int) -> Iterator[list[Draft]]:
    for first in range(0, count, BATCH):
        yield [
            draft(
                DISABLED,
                account_id=targets[n % ENDPOINTS].account_id,
                subject=uuid7(),
                object=OBJECT,
                actor=system("bench"),
                at=clock.now(),
            )
            for n in range(first, min(first + BATCH, count))
        ]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
