"""kill -9 of a real worker in the middle of its two batches."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.db.models.functions import Now

from apps.crm.hubspot.client import DEAL_ID
from apps.crm.models import Contact, ContactImport, Customer, SoldDeal
from apps.crm.services.batching import LEASE_SECONDS
from apps.crm.services.checking import check_next
from sandbox.hubspot.server import Simulator
from tests.conftest import MakeClient
from tests.crm.market import Market, deal_calls, deal_states, follow, tell, wait
from tests.crm.support import Shop, pass_time, states, sync, told
from tests.support import wait_until
from tests.support.process import database_url

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0


@pytest.fixture
def shop(shop: Shop, hubspot: Simulator) -> Shop:
    """Its mapping has been checked: that is no call of these tests."""
    while check_next():
        pass
    hubspot.forget_calls()
    return shop


@contextmanager
def process_of(hubspot: Simulator, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A Python process on this test's services; killed at the end, with whatever it started: the beat of a
    killed worker is a process that would go on for ever."""
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "DATABASE_POOL_SIZE": "8",
        "HUBSPOT_BASE_URL": hubspot.url,
    }
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)


@contextmanager
def worker(hubspot: Simulator) -> Iterator["subprocess.Popen[bytes]"]:
    """A Celery worker and beat in one, as `make run` starts them, on this test's services."""
    command = "-m celery --quiet -A config worker --pool threads -c 2 -B -Q slow -s"
    schedule = f"/tmp/crm-beat-{os.getpid()}"
    try:
        with process_of(hubspot, *command.split(), schedule) as process:
            yield process
    finally:
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


def test_an_import_killed_in_the_middle_of_a_page_goes_on_there(
    shop: Shop, hubspot: Simulator
) -> None:
    for number in range(250):
        hubspot.add_contact(f"c{number}@many.example")
    command = ("manage.py", "import_contacts", "--account", shop.client.account.slug)

    with process_of(hubspot, *command) as process:
        wait_until(lambda: ContactImport.objects.filter(read=100).exists(), seconds=START_SECONDS)
        with hubspot.holding():
            wait_until(lambda: hubspot.held_up)
            process.send_signal(signal.SIGKILL)
            process.wait(20)
    row = ContactImport.objects.get()
    read = row.read
    assert read in (100, 200)
    assert Customer.objects.count() == read
    assert row.lease_id is not None

    ContactImport.objects.update(lease_until=Now())
    with process_of(hubspot, *command) as process:
        assert process.wait(START_SECONDS) == 0

    row = ContactImport.objects.get()
    assert (row.read, row.created, row.unchanged) == (250, 250, 0)
    assert Customer.objects.count() == told("customer.created") == 250


@pytest.mark.parametrize("is_carried_out", [False, True])
def test_a_worker_killed_while_it_makes_deals_makes_each_once(
    shop: Shop, hubspot: Simulator, api: MakeClient, is_carried_out: bool
) -> None:
    """Killed between the call and writing down what came of it; the call is carried out, or never."""
    market = Market(shop, api())
    market.add_buyer()
    market.add_many(1)
    follow()
    market.add_many(150)
    hubspot.forget_calls()

    with hubspot.holding():
        with worker(hubspot) as process:
            wait_until(lambda: hubspot.held_up == 2, seconds=START_SECONDS)
            process.send_signal(signal.SIGKILL)
            process.wait(20)
        if not is_carried_out:
            hubspot.settings.always = 503
    wait_until(lambda: len(hubspot.calls) == 2)
    assert sorted(deal_calls(hubspot)) == [("create", 50), ("create", 100)]
    assert SoldDeal.objects.filter(lease_id__isnull=False, sending__isnull=False).count() == 150
    assert deal_states() == {"synced": 1, "pending": 150}
    hubspot.settings.always = 0

    wait(LEASE_SECONDS)
    tell()

    assert deal_states() == {"synced": 151}
    made = [deal["properties"][DEAL_ID] for deal in hubspot.deals()]
    assert len(made) == len(set(made)) == 151
    assert all(len(deal["contacts"]) == 1 for deal in hubspot.deals())
