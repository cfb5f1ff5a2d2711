"""What a hostile or unlucky world does to the sync."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db.models import Value
from pytest_django.fixtures import Settings

from apps.common import clock
from apps.crm import selectors
from apps.crm.enums import Call
from apps.crm.hubspot import client as adapter
from apps.crm.hubspot.answers import Unavailable
from apps.crm.hubspot.client import HubSpot
from apps.crm.models import Contact, Erasure, Portal
from apps.crm.services import recording
from apps.crm.services.batching import take_batch
from apps.crm.services.parcels import parcels_of
from sandbox.hubspot.server import Simulator
from sandbox.hubspot.settings import Scripted
from tests.crm.support import TOKEN, Shop, pass_time, portal, states, step, sync
from tests.crm.test_inbound import change, client_secret, take_in

pytestmark = pytest.mark.django_db

__all__ = ["client_secret"]  # the fixture that signs notices


def settle() -> None:
    """Let everything that waits for something else have its turn."""
    for _ in range(6):
        pass_time()
        sync()


def test_two_customers_swap_their_emails(shop: Shop, hubspot: Simulator) -> None:
    ada, bob = shop.add("ada@example.com"), shop.add("bob@example.com")
    sync()
    ids = {
        shop.crm(ada)["contact_id"]: "bob@example.com",
        shop.crm(bob)["contact_id"]: "ada@example.com",
    }

    shop.change(ada, email="in-between@example.com")
    shop.change(bob, email="ada@example.com")
    shop.change(ada, email="bob@example.com")
    settle()

    assert states() == {"synced": 2}
    contacts = hubspot.records.contacts
    assert {one.id: one.properties["email"] for one in contacts.values()} == ids


def test_three_customers_pass_their_emails_round(shop: Shop, hubspot: Simulator) -> None:
    names = ["a@example.com", "b@example.com", "c@example.com"]
    customers = [shop.add(name) for name in names]
    sync()
    shop.change(customers[0], email="in-between@example.com")
    shop.change(customers[2], email=names[0])
    shop.change(customers[1], email=names[2])
    shop.change(customers[0], email=names[1])

    settle()

    assert states() == {"synced": 3}
    for customer, email in zip(customers, [names[1], names[2], names[0]], strict=True):
        contact = hubspot.records.contacts[shop.crm(customer)["contact_id"]]
        assert contact.properties["email"] == email


def test_whoever_is_sent_anew_keeps_the_email(shop: Shop, hubspot: Simulator) -> None:
    """What is in doubt is sent again, the address too: that is no ring of one."""
    ada = shop.add("ada@example.com")
    sync()
    hubspot.forget_calls()

    shop.client.post(f"/api/v1/customers/{ada['id']}/sync")
    sync()

    sent = [one["properties"] for call in hubspot.calls for one in call.body["inputs"]]
    assert sent == [{"email": "ada@example.com"}]
    assert states() == {"synced": 1}


def test_what_only_hubspot_has_is_not_emptied_after_it_was_told_of(
    shop: Shop, hubspot: Simulator
) -> None:
    shop.connect(
        mapping={"external_id": "company", "first_name": "firstname", "last_name": "lastname"}
    )
    ada = shop.add("ada@example.com", first_name="Ada")
    sync()
    contact_id = shop.crm(ada)["contact_id"]
    hubspot.edit_contact(contact_id, company="theirs", lastname="x" * 201)
    assert take_in(hubspot.news()[-2:]) == ["refused", "refused"]

    shop.change(ada, first_name="Augusta")
    sync()

    properties = hubspot.records.contacts[contact_id].properties
    assert (properties["company"], properties["lastname"]) == ("theirs", "x" * 201)


def test_a_property_that_is_mapped_again_is_sent_again(shop: Shop, hubspot: Simulator) -> None:
    ada = shop.add("ada@example.com", first_name="Ada")
    sync()
    shop.connect(mapping={})
    sync()
    hubspot.edit_contact(shop.crm(ada)["contact_id"], firstname="meanwhile")

    shop.connect(mapping={"first_name": "firstname"})
    sync()

    assert hubspot.records.contacts[shop.crm(ada)["contact_id"]].properties["firstname"] == "Ada"


def test_a_token_that_was_replaced_never_goes_with_the_ids_of_the_old_one(shop: Shop) -> None:
    account_id = shop.client.account.id
    line = selectors.line(account_id)
    assert line is not None
    assert selectors.token_of(account_id, line.portal_key) == TOKEN

    shop.connect(access_token="pat-of-another-hubspot")

    assert selectors.token_of(account_id, line.portal_key) is None


def test_whoever_is_erased_between_claim_and_call_is_not_sent(
    shop: Shop, hubspot: Simulator
) -> None:
    ada, bob = shop.add("ada@example.com"), shop.add("bob@example.com")
    pass_time()
    line = selectors.line(shop.client.account.id)
    assert line is not None
    rows = Contact.objects.annotate(call=Value(Call.UPSERT.value))
    batch = take_batch("crm.sync", line, rows, [Call.UPSERT])
    assert batch is not None
    parcels = parcels_of(line, Call.UPSERT, batch.rows)
    assert len(parcels) == 2

    answer = shop.client.post(f"/api/v1/customers/{ada['id']}/erase", {"delete_contact": True})
    assert answer.status_code == 200

    lease_id = batch.rows[0].lease_id
    assert lease_id is not None
    sent = recording.note_sending(lease_id, parcels)
    assert [str(parcel.id) for parcel in sent] == [bob["id"]]
    assert Erasure.objects.count() == 1


@pytest.mark.parametrize(
    "results",
    [
        [{"id": "x" * 300}],
        [{"id": {"a": 1}}],
        [{"id": None}, {"properties": {}}, None, 7, "x"],
        {"id": "1"},
        "results",
    ],
    ids=str,
)
def test_results_that_are_no_records_are_none(shop: Shop, hubspot: Simulator, results: Any) -> None:
    ada = shop.add("ada@example.com")
    traced = results
    if isinstance(results, list):
        traced = [
            {**one, "objectWriteTraceId": ada["id"]} if isinstance(one, dict) else one
            for one in results
        ]
    hubspot.script(Scripted(200, {"results": traced}))

    assert step()
    assert shop.crm(ada)["error"]["hubspot_code"] == "NO_RESULT"
    settle()

    assert states() == {"synced": 1}


@pytest.mark.parametrize(
    "headers",
    [
        {"X-HubSpot-RateLimit-Max": "0"},
        {"X-HubSpot-RateLimit-Interval-Milliseconds": "999999999"},
        {"X-HubSpot-RateLimit-Max": "-1", "X-HubSpot-RateLimit-Interval-Milliseconds": "x"},
        {"X-HubSpot-RateLimit-Daily-Remaining": "0", "X-HubSpot-RateLimit-Daily": "0"},
        {"Retry-After": "Wed, 01 Jan 2025 00:00:00 +99999999999999"},
        {"Retry-After": "Wed, 01 Jan 99999 00:00:00 GMT"},
    ],
    ids=str,
)
def test_no_header_stops_the_sync_for_good(
    shop: Shop, hubspot: Simulator, headers: dict[str, str]
) -> None:
    for status in (200, 503, 429):
        hubspot.script(Scripted(status, {"results": []}, headers=headers))
    shop.add("ada@example.com")

    for _ in range(12):
        pass_time(7200)
        Portal.objects.update(recent=[])  # the longest interval that is believed is over
        sync()

    assert states() == {"synced": 1}


def test_a_day_that_never_ends_is_not_waited_for(shop: Shop, hubspot: Simulator) -> None:
    hubspot.settings.change(daily_used=250_000, resets_at="9999-12-31T23:59:59Z")
    shop.add("ada@example.com")

    assert step()

    resume_at = portal().resume_at
    assert resume_at is not None
    assert (resume_at - clock.now()).days <= 2


def test_a_notice_from_the_far_future_does_not_silence_those_that_follow(shop: Shop) -> None:
    ada = shop.add("ada@example.com", first_name="Ada")
    sync()
    shop.hubspot.news()
    contact_id = shop.crm(ada)["contact_id"]
    take_in([change(contact_id, "firstname", "Future", occurredAt=253_000_000_000_000)])

    name = Contact.objects.get().property_times["firstname"]

    assert name / 1000 - time.time() < 600


@contextmanager
def server(answer: bytes, drip: bytes = b"") -> Iterator[str]:
    """Answers every request with these bytes, then with drops of `drip` for as long as somebody listens."""
    listening = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                connected, _ = listening.accept()
            except OSError:
                return
            with connected:
                connected.settimeout(5)
                try:
                    connected.recv(65_536)
                    connected.sendall(answer)
                    while drip and not ended.wait(0.02):
                        connected.sendall(drip)
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@pytest.mark.parametrize("status", [200, 400])
def test_an_answer_that_drips_is_given_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(adapter, "WHOLE_SECONDS", 0.3)
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\n\r\n".encode()
    with server(head + b"{", drip=b" ") as settings.HUBSPOT_BASE_URL, pytest.raises(Unavailable):
        HubSpot(TOKEN).read_contacts(["a@b.co"], [])


@pytest.mark.parametrize("status", [200, 503])
def test_an_answer_without_measure_is_given_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(adapter, "MAX_ANSWER_BYTES", 100_000)
    head = f"HTTP/1.1 {status} OK\r\nContent-Length: 10000000\r\n\r\n".encode()
    with (
        server(head, drip=b"x" * 50_000) as settings.HUBSPOT_BASE_URL,
        pytest.raises(Unavailable),
    ):
        HubSpot(TOKEN).read_contacts(["a@b.co"], [])
