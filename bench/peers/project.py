"""A Django project with django-webhook and a Celery worker, as its documentation has them: for bench.peers alone.

It runs in an environment of its own (bench.peers.environment). `python -m bench.peers.project fill COUNT ENDPOINTS URL`
makes the tables, so many webhooks, and queues a task for each delivery as the signal of a saved model does;
`python -m bench.peers.project go` has the worker begin.
"""

import json
import os
import sys
from typing import Any

import django
from celery import Celery
from django.conf import settings
from django.db import connections

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            **json.loads(os.environ["PEER_DATABASE"]),
        }
    },
    INSTALLED_APPS=["django_webhook"],
    USE_TZ=True,
)
app: Any = Celery("peer", broker=os.environ["REDIS_URL"])
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=4)
django.setup()
connections.close_all()  # what setting up opened is not for the processes that the worker forks
app.autodiscover_tasks(["django_webhook"])

from django.core.management import call_command  # noqa: E402 - needs the settings
from django_webhook.models import Webhook, WebhookSecret  # type: ignore[import-not-found] # noqa: E402
from django_webhook.tasks import fire_webhook  # type: ignore[import-not-found] # noqa: E402

WARMING = 50
BODY = json.dumps({"type": "bench", "data": {"object": {"name": "bench", "pad": "x" * 500}}})


def fill(count: str, endpoints: str, url: str) -> None:
    call_command("migrate", verbosity=0)
    webhooks = [Webhook.objects.create(url=f"{url}/{n}") for n in range(int(endpoints))]
    for webhook in webhooks:
        WebhookSecret.objects.create(webhook=webhook, token="a-secret-of-the-benchmark")
    for queue, number in (("warm", WARMING), ("bench", int(count))):
        for n in range(number):
            arguments = (webhooks[n % len(webhooks)].id, BODY)
            named = {"topic": "bench.Thing/create", "object_type": "bench.Thing"}
            fire_webhook.apply_async(arguments, named, queue=queue)


def go() -> None:
    assert app.control.add_consumer("bench", reply=True)


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill(*sys.argv[2:])
    else:
        go()
