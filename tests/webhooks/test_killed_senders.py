"""kill -9 of the sender wherever it can be: at least once, nothing lost, nothing stuck."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from uuid import UUID

import pytest

from apps.webhooks.models import Attempt, Delivery, Due
from tests.support import Receiver
from tests.support.process import ROOT, database_url
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.dying import MOMENTS
from tests.webhooks.situations import dispatch_slowly, make_due, start_worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

Send = Callable[[], None]
MOST_STEPS = 30


def run_worker(how: str, moment: str) -> int:
    """The exit status of a worker that dies at a moment."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.webhooks.dying", how, moment],
        env={**os.environ, "DATABASE_URL": database_url(), "DATABASE_POOL_SIZE": "4"},
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    return done.returncode


def settle_after(events: list[UUID], receiver: Receiver, send: Send) -> None:
    """The worker is started again, under its name; then nothing may be missing or left."""
    start_worker("fast@dying")
    for _ in range(2):
        send()
        make_due()
    assert not Due.objects.exists()
    assert not Delivery.objects.exclude(status="delivered").exists()
    came = {request.headers["webhook-id"] for request in receiver.requests}
    assert came == {str(event) for event in events}
    delivered = Delivery.objects.filter(event_id__in=events)
    assert delivered.count() == len(events), "one delivery each, however often it was sent"
    assert Attempt.objects.count() >= len(events)


@pytest.mark.parametrize("how", ["claims", "fast"])
def test_killed_where_a_request_awaits_something(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    how: str,
) -> None:  # fmt: skip
    endpoint = make_endpoint(receiver.url())
    events: list[UUID] = []
    for step in range(MOST_STEPS):
        events += [publish_event(endpoint.account) for _ in range(2)]
        if how == "claims":
            dispatch_slowly()

        status = run_worker(how, str(step))

        if status == 0:
            break
        assert status == -signal.SIGKILL
        settle_after(events, receiver, send)
    else:
        pytest.fail("it never came through")
    assert step >= 4, "a request awaits its connection, its answer and its body"
    settle_after(events, receiver, send)


@pytest.mark.parametrize(
    ("how", "moment"),
    [("claims", moment) for moment in MOMENTS] + [("fast", m) for m in MOMENTS if m != "leased"],
)
def test_killed_between_its_statements(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    how: str, moment: str,
) -> None:  # fmt: skip
    endpoint = make_endpoint(receiver.url())
    events = [publish_event(endpoint.account) for _ in range(3)]
    if how == "claims":
        dispatch_slowly()

    assert run_worker(how, moment) == -signal.SIGKILL

    settle_after(events, receiver, send)
