"""kill -9 of a real worker in the middle of its two batches."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apps.crm.models import Contact
from apps.crm.services.batching import LEASE_SECONDS
from sandbox.hubspot.server import Simulator
from tests.crm.support import Shop, pass_time, states, sync
from tests.support import wait_until
from tests.support.process import database_url

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0


@contextmanager
def worker(hubspot: Simulator) -> Iterator["subprocess.Popen[bytes]"]:
    """A Celery worker and beat in one, as `make run` starts them, on this test's services."""
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "DATABASE_POOL_SIZE": "8",
        "HUBSPOT_BASE_URL": hubspot.url,
    }
    command = "-m celery --quiet -A config worker --pool threads -c 2 -B -Q slow -s"
    schedule = f"/tmp/crm-beat-{os.getpid()}"
    process = subprocess.Popen(
        [sys.executable, *command.split(), schedule],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)
        for path in Path("/tmp").glob(f"{Path(schedule).name}*"):
            path.unlink()


@pytest.mark.parametrize("is_carried_out", [False, True])
def test_a_worker_killed_in_the_middle_of_a_batch_loses_and_doubles_nothing(
    shop: Shop, hubspot: Simulator, is_carried_out: bool
) -> None:
    """Killed while HubSpot has both calls: they are carried out afterwards, or never."""
    shop.add_many(150)

    with hubspot.holding():
        with worker(hubspot) as process:
            wait_until(lambda: hubspot.held_up == 2, seconds=START_SECONDS)
            process.send_signal(signal.SIGKILL)
            process.wait(20)
        if not is_carried_out:
            hubspot.settings.always = 503
    wait_until(lambda: len(hubspot.calls) == 2)
    assert sorted(call.size for call in hubspot.calls) == [50, 100]
    assert Contact.objects.filter(lease_id__isnull=False).count() == 150
    assert Contact.objects.filter(sending__isnull=False).count() == 150
    assert states() == {"pending": 150}
    assert len(hubspot.records.contacts) == (150 if is_carried_out else 0)
    hubspot.settings.always = 0

    pass_time(LEASE_SECONDS)
    sync()

    assert states() == {"synced": 150}
    assert len(hubspot.records.contacts) == 150
