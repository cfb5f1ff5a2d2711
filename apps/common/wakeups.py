"""Wake-ups: "look, there may be something due". Best effort; beat's sweep finds what one leaves behind.

`SET wake:<job> PX 1000 GET` lets one of many simultaneous wakers publish. The worker holds the flag while it
looks: whoever wakes it then leaves a note on it and no message, and the worker that lets go of it and finds
the note looks again. So under load a message is for many changes.
"""

import threading
from functools import cache
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import connection, transaction
from kombu import Connection, Producer

from apps.common import besteffort
from apps.common.ids import uuid7

FLAG_MILLISECONDS = 1000
_WANTED, _HELD = b"1", b"0"

_local = threading.local()


def wake(job: str) -> None:
    """Ask a worker to run `job` now; a job that `settings.JOBS` does not know raises KeyError."""
    queue = settings.JOBS[job].queue
    besteffort.attempt("wakeup", lambda: _publish_once(job, queue))


def wake_on_commit(job: str) -> None:
    """Like `wake`, once the current transaction has committed."""
    if connection.in_atomic_block:
        transaction.on_commit(lambda: wake(job))
    else:  # `on_commit` would open a connection to find that out
        wake(job)


def hold(job: str) -> None:
    """Called by the job before it looks: until it lets go, a wake-up is a note on the flag."""
    besteffort.attempt(
        "wakeup", lambda: besteffort.client().set(_flag(job), _HELD, px=FLAG_MILLISECONDS)
    )


def let_go(job: str) -> bool:
    """Called by the job after it has looked: from here on a wake-up is published again. Whether there
    was one meanwhile, so that it must look once more."""
    found = besteffort.attempt("wakeup", lambda: besteffort.client().getdel(_flag(job)))
    return found == _WANTED


def _flag(job: str) -> str:
    return f"wake:{job}"


def _publish_once(job: str, queue: str) -> None:
    if besteffort.ask("SET", _flag(job), _WANTED, "PX", FLAG_MILLISECONDS, "GET") is not None:
        return
    try:
        _publish(job, queue)
    except Exception:
        _local.__dict__.clear()  # a connection that failed once is not worth mending
        raise


def _publish(job: str, queue: str) -> None:
    """What `send_task` does, with a message put together once for each job, and without declaring the
    queue, which its workers do: two fifths of what that takes."""
    body, headers = _message(job)
    task_id = str(uuid7())
    _producer().publish(
        body,
        exchange="",
        routing_key=queue,
        serializer="json",
        headers={**headers, "id": task_id, "root_id": task_id},
        correlation_id=task_id,
        retry=False,
    )


@cache
def _message(job: str) -> tuple[Any, dict[str, Any]]:
    message = current_app.amqp.as_task_v2("", job, ignore_result=True)
    return message.body, message.headers


def _producer() -> Producer:
    """This thread's producer on a connection of its own: the shared pool waits far longer."""
    if not hasattr(_local, "producer"):
        connection = Connection(
            settings.CELERY_BROKER_URL,
            connect_timeout=besteffort.TIMEOUT_SECONDS,
            transport_options={
                "socket_timeout": besteffort.TIMEOUT_SECONDS,
                "socket_connect_timeout": besteffort.TIMEOUT_SECONDS,
                "max_retries": 1,
                "interval_start": 0,
                "interval_step": 0,
            },
        )
        _local.producer = current_app.amqp.Producer(connection)
    producer: Producer = _local.producer
    return producer
