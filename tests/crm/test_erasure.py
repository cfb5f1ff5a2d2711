"""After an erasure nothing personal is left of a customer, wherever the process was killed meanwhile."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from apps.common.models import IdempotencyKey
from apps.crm.models import Contact, Customer, Erasure
from apps.crm.services import erasing
from apps.crm.services.erasing import erase_some
from apps.events.catalogue import event_types
from apps.events.dispatch import dispatch
from apps.events.models import Event
from apps.webhooks.models import Due
from sandbox.hubspot.settings import Scripted
from tests.conftest import MakeClient
from tests.crm.support import Shop, pass_time, step, sync
from tests.support import Answer, ApiClient, Received, Receiver, everything_stored, run_jobs
from tests.support.concurrency import concurrently
from tests.support.problems import assert_problem

pytestmark = pytest.mark.django_db(transaction=True)

PERSONAL = ("ada@", "Augusta", "Lovelace", "ink-black")


def erase(shop: Shop, customer: Any, **body: Any) -> Any:
    return shop.client.post(f"/api/v1/customers/{customer['id']}/erase", body)


def erase_all() -> None:
    """What is owed, waits being over."""
    Erasure.objects.filter(due_at__isnull=False).update(due_at=Now() - timedelta(minutes=1))
    Erasure.objects.update(lease_until=None)
    while erase_some():
        pass


@pytest.fixture
def ada(shop: Shop) -> Any:
    """A customer that HubSpot has, with traces of her everywhere."""
    body = {
        "email": "ada@example.com",
        "first_name": "Augusta",
        "last_name": "Lovelace",
        "external_id": "customer-1",
        "properties": {"eyes": "ink-black"},
    }
    made = shop.client.post("/api/v1/customers", body, idempotency_key="made").json()
    shop.change(made, last_name="Lovelace-King")
    path = f"/api/v1/customers/{made['id']}/sync"
    shop.client.post(path, idempotency_key="synced")
    sync()
    return made


def test_nothing_personal_is_left_in_the_database(shop: Shop, ada: Any, receiver: Receiver) -> None:
    receiver.answer("/echo", Answer(200, b"thank you for ada@example.com"))
    endpoint = {"url": receiver.url("/echo"), "event_types": ["customer.*"]}
    assert shop.client.post("/api/v1/webhook-endpoints", endpoint).status_code == 201
    shop.change(ada, first_name="Augusta Ada")
    sync()
    run_jobs()
    assert all(trace in everything_stored() for trace in PERSONAL)
    receiver.answer("/echo", Answer(200, b"thank you"))

    answer = erase(shop, ada)
    erase_all()
    run_jobs()

    assert answer.status_code == 200
    stored = everything_stored()
    assert [trace for trace in PERSONAL if trace in stored] == []
    assert shop.hubspot.contact("ada@example.com") is not None  # nobody asked for that


def test_what_a_receiver_says_after_the_erasure_is_not_kept(shop: Shop, receiver: Receiver) -> None:
    """It was told before, and answers with what it was told."""
    has_come, may_answer = threading.Event(), threading.Event()

    def echo(request: Received) -> Answer:
        has_come.set()
        assert may_answer.wait(30)
        return Answer(200, request.body)

    receiver.answer("/echo", echo, Answer(200, b"thank you"))
    endpoint = {"url": receiver.url("/echo"), "event_types": ["customer.*"]}
    assert shop.client.post("/api/v1/webhook-endpoints", endpoint).status_code == 201
    ada = shop.add("ada@example.com", first_name="Augusta")
    dispatch()
    assert has_come.wait(30)

    erase(shop, ada)
    dispatch()
    may_answer.set()
    erase_all()
    run_jobs()
    stored = everything_stored()
    assert [trace for trace in PERSONAL if trace in stored] == []

    Due.objects.update(due_at=Now() - timedelta(minutes=1))  # its lease is over
    run_jobs()
    created, erased, again = (one.json() for one in receiver.wait_for(3, path="/echo"))
    assert created["data"]["object"]["email"] == "ada@example.com"
    assert (erased["type"], again["id"]) == ("customer.erased", created["id"])
    assert again["data"]["object"]["email"] is None
    assert not Due.objects.exists()


def test_an_erased_customer_is_not_there(shop: Shop, ada: Any) -> None:
    left = erase(shop, ada).json()

    assert (left["email"], left["external_id"], left["properties"]) == (None, None, {})
    path = f"/api/v1/customers/{ada['id']}"
    assert_problem(shop.client.get(path), 404, "customer_not_found")
    assert_problem(shop.client.patch(path, {"first_name": "X"}), 404, "customer_not_found")
    assert_problem(erase(shop, ada), 404, "customer_not_found")
    assert shop.client.get("/api/v1/customers").json()["results"] == []
    calls = len(shop.hubspot.calls)
    sync()
    assert len(shop.hubspot.calls) == calls
    shop.add("ada@example.com", external_id="customer-1")


def test_orders_learn_what_the_customer_was_called(shop: Shop, ada: Any) -> None:
    erase(shop, ada)

    event = Event.objects.get(type="customer.erased")
    assert str(event.subject) == ada["id"]
    assert b'"external_id":"customer-1"' in bytes(event.payload)


def test_blanked_events_keep_their_place_and_their_form(
    shop: Shop, ada: Any, api: MakeClient
) -> None:
    reader = api(account=shop.client.account)
    run_jobs()
    before = reader.get("/api/v1/events", types="customer.*").json()["results"]

    erase(shop, ada)
    erase_all()
    run_jobs()

    after = reader.get("/api/v1/events", types="customer.*").json()["results"]
    assert [one["id"] for one in after[:-1]] == [one["id"] for one in before]
    assert after[-1]["type"] == "customer.erased"
    for event in after[:-1]:
        assert event["data"]["object"]["email"] is None
        assert event["data"].get("changes", {}) == {}
        assert event["data"]["object"].keys() == before[0]["data"]["object"].keys()


def test_a_retried_post_is_answered_and_makes_nobody_anew(shop: Shop, ada: Any) -> None:
    body = {
        "email": "ada@example.com",
        "first_name": "Augusta",
        "last_name": "Lovelace",
        "external_id": "customer-1",
        "properties": {"eyes": "ink-black"},
    }
    erase(shop, ada)
    erase_all()

    answer = shop.client.post("/api/v1/customers", body, idempotency_key="made")

    assert answer.status_code == 201
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert (answer.json()["id"], answer.json()["email"]) == (ada["id"], None)
    assert Customer.objects.filter(erased_at=None).count() == 0


def test_answers_about_others_stay(shop: Shop, ada: Any) -> None:
    shop.client.post(
        "/api/v1/customers",
        {"email": "bob@example.com", "properties": {"friend": ada["id"]}},
        idempotency_key="bob",
    )

    erase(shop, ada)
    erase_all()

    assert b"bob@example.com" in bytes(IdempotencyKey.objects.get(key="bob").body)


def test_the_contact_is_deleted_when_that_is_asked(shop: Shop, ada: Any) -> None:
    erase(shop, ada, delete_contact=True)
    erase_all()

    assert shop.hubspot.contact("ada@example.com") is None
    (call,) = shop.hubspot.calls_to("gdpr-delete")
    assert call.status == 204
    assert not Erasure.objects.exists()


def test_what_hubspot_never_heard_of_is_not_asked_about(shop: Shop) -> None:
    customer = shop.add("new@example.com")

    erase(shop, customer, delete_contact=True)
    erase_all()

    assert shop.hubspot.calls == []
    assert not Erasure.objects.exists()


def test_a_contact_that_may_have_been_made_is_deleted_by_its_address(shop: Shop) -> None:
    customer = shop.add("ada@example.com")
    shop.hubspot.script(Scripted(status=0, path="batch/upsert", after=True))
    step()
    assert shop.hubspot.contact("ada@example.com") is not None

    erase(shop, customer, delete_contact=True)
    pass_time()
    erase_all()

    assert shop.hubspot.contact("ada@example.com") is None


def test_the_deletion_waits_until_hubspot_answers(shop: Shop, ada: Any) -> None:
    shop.hubspot.script(Scripted(status=503, path="gdpr-delete"))
    erase(shop, ada, delete_contact=True)
    erase_all()
    assert Erasure.objects.exists()

    pass_time()
    erase_all()

    assert shop.hubspot.contact("ada@example.com") is None
    assert not Erasure.objects.exists()


def test_what_hubspot_refuses_stays_to_be_seen(shop: Shop, ada: Any) -> None:
    body = {"status": "error", "message": "No.", "category": "VALIDATION_ERROR"}
    shop.hubspot.script(Scripted(status=400, body=body, path="gdpr-delete"))

    erase(shop, ada, delete_contact=True)
    erase_all()

    owed = Erasure.objects.get()
    assert (owed.due_at, owed.error) == (None, "No.")


def test_a_call_under_way_records_nothing_of_the_erased(shop: Shop, ada: Any) -> None:
    shop.change(ada, first_name="Augusta Ada")
    pass_time()
    with shop.hubspot.holding():
        Contact.objects.filter(pk=ada["id"]).update(
            lease_id=ada["id"], lease_until=Now() + timedelta(seconds=45)
        )
        erase(shop, ada, delete_contact=True)

    contact = Contact.objects.get(pk=ada["id"])
    assert (contact.lease_id, contact.acknowledged, contact.contact_id) == (None, {}, None)
    while erase_some():
        pass
    assert Erasure.objects.get().due_at is not None  # until the call is over
    erase_all()
    assert shop.hubspot.contact("ada@example.com") is None


@pytest.mark.parametrize("dying", ["_blank_events", "_blank_answers", "_delete_contact"])
def test_who_dies_in_the_middle_is_followed_by_another(
    shop: Shop, ada: Any, dying: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: Callable[[Erasure], None] = getattr(erasing, dying)

    def die(owed: Erasure) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(erasing, dying, die)
    erase(shop, ada, delete_contact=True)
    with pytest.raises(KeyboardInterrupt):
        erase_all()
    monkeypatch.setattr(erasing, dying, whole)

    assert not erase_some()  # its lease is still running
    erase_all()

    assert not Erasure.objects.exists()
    stored = everything_stored()
    assert [trace for trace in PERSONAL if trace in stored] == []
    assert shop.hubspot.contact("ada@example.com") is None


def test_of_many_that_erase_at_once_one_does(shop: Shop, ada: Any) -> None:
    def run(_: int) -> int:
        client: ApiClient = shop.client
        return client.post(f"/api/v1/customers/{ada['id']}/erase", {}).status_code

    statuses = concurrently(4, run)

    assert sorted(statuses) == [200, 404, 404, 404]
    assert Event.objects.filter(type="customer.erased").count() == 1


def test_the_event_is_in_the_catalogue() -> None:
    assert "customer.erased" in {one.name for one in event_types()}
