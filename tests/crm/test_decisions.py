"""Every row of the decision table, by the official client against the simulator."""

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail as outbox
from django.db.models.functions import Now

from apps.common import clock, mail
from apps.crm.models import Contact, Customer
from sandbox.hubspot import refusals
from sandbox.hubspot.server import Simulator
from sandbox.hubspot.settings import Scripted
from tests.crm.support import TOKEN, Shop, pass_time, portal, states, step, sync, told
from tests.support import background, wait_until

pytestmark = pytest.mark.django_db

READ, UPDATE, UPSERT = "batch/read", "batch/update", "batch/upsert"


def synced(shop: Shop, *emails: str) -> list[Any]:
    """Customers that HubSpot has."""
    made = [shop.add(email, first_name="A") for email in emails]
    sync()
    shop.hubspot.forget_calls()
    return made


def test_a_row_in_results_is_acknowledged(shop: Shop, hubspot: Simulator) -> None:
    ada = shop.add("ada@example.com")
    sync()

    crm = shop.crm(ada)
    contact = hubspot.contact("ada@example.com")
    assert contact is not None
    assert (crm["state"], crm["contact_id"], crm["error"]) == ("synced", contact.id, None)
    assert crm["synced_at"] is not None
    attempt = shop.client.get(f"/api/v1/customers/{ada['id']}/sync").json()["results"][0]
    assert (attempt["status"], attempt["batch_size"]) == (200, 1)
    assert attempt["correlation_id"]


def test_results_are_matched_whatever_hubspot_gives_back(shop: Shop, hubspot: Simulator) -> None:
    hubspot.settings.echo_traces = False
    hubspot.add_contact("bob@example.com", firstname="Robert")
    ada, bob = shop.add("ada@example.com"), shop.add("bob@example.com")

    sync()

    for customer in (ada, bob):
        contact = hubspot.contact(customer["email"])
        assert contact is not None
        assert shop.crm(customer)["contact_id"] == contact.id


def test_hubspot_keeps_what_nobody_said_anything_of(shop: Shop, hubspot: Simulator) -> None:
    contact = hubspot.add_contact("ada@example.com", firstname="Ada", phone="123")
    ada = shop.add("ada@example.com", last_name="King")
    sync()
    contact.properties["lastname"] = "changed by a colleague"

    shop.change(ada, first_name="Augusta")
    sync()

    assert contact.properties["phone"] == "123"
    assert contact.properties["firstname"] == "Augusta"
    assert contact.properties["lastname"] == "changed by a colleague"


def test_a_missing_contact_is_skipped_where_the_account_wants_that(
    shop: Shop, hubspot: Simulator
) -> None:
    shop.connect(missing_contact="skip")
    known = hubspot.add_contact("known@example.com")
    ada, eve = shop.add("ada@example.com"), shop.add("known@example.com", first_name="Eve")

    sync()

    assert shop.crm(ada) == {
        "state": "skipped",
        "contact_id": None,
        "synced_at": None,
        "error": None,
    }
    assert shop.crm(eve)["contact_id"] == known.id
    assert known.properties["firstname"] == "Eve"
    assert told("customer.sync_failed") == 0
    hubspot.forget_calls()
    sync()
    assert hubspot.calls == []


def test_a_contact_found_with_all_that_was_to_be_sent_needs_no_second_call(
    shop: Shop, hubspot: Simulator
) -> None:
    shop.connect(missing_contact="skip")
    hubspot.add_contact("ada@example.com", firstname="Ada")
    ada = shop.add("ada@example.com", first_name="Ada")

    sync()

    assert len(hubspot.calls) == 1
    assert shop.attempts(ada) == [("lookup", "unchanged")]
    assert shop.crm(ada)["state"] == "synced"


@pytest.mark.parametrize(
    ("missing_contact", "state", "calls"),
    [("create", "synced", [UPDATE, READ, UPSERT]), ("skip", "skipped", [UPDATE, READ])],
)
def test_a_contact_that_is_gone_is_looked_for_once(
    shop: Shop, hubspot: Simulator, missing_contact: str, state: str, calls: list[str]
) -> None:
    (ada,) = synced(shop, "ada@example.com")
    shop.connect(missing_contact=missing_contact)
    sync()
    contact = hubspot.contact("ada@example.com")
    assert contact is not None
    hubspot.records.archive("contacts", contact)
    hubspot.forget_calls()

    shop.change(ada, first_name="B")
    sync()

    assert shop.crm(ada)["state"] == state
    assert [call.path.partition("contacts/")[2] for call in hubspot.calls] == calls


def test_a_merged_contact_is_followed(shop: Shop, hubspot: Simulator) -> None:
    (ada,) = synced(shop, "ada@example.com")
    merged, primary = hubspot.contact("ada@example.com"), hubspot.add_contact("a@example.com")
    assert merged is not None
    hubspot.records.merge(primary, merged)

    shop.change(ada, first_name="B")
    sync()

    assert shop.crm(ada)["contact_id"] == primary.id
    assert primary.properties["firstname"] == "B"
    assert primary.properties["email"] == "a@example.com"


def test_a_changed_email_finds_the_contact_by_the_one_hubspot_knows(
    shop: Shop, hubspot: Simulator
) -> None:
    (ada,) = synced(shop, "ada@example.com")
    contact = hubspot.contact("ada@example.com")
    assert contact is not None
    Contact.objects.update(contact_id=None, portal_key="")  # as after another token

    shop.change(ada, email="countess@example.com")
    sync()

    assert contact.properties["email"] == "countess@example.com"
    assert len(hubspot.records.contacts) == 1


def test_an_email_that_another_contact_has_is_a_conflict_and_the_rest_goes_on(
    shop: Shop, hubspot: Simulator
) -> None:
    ada, bob = synced(shop, "ada@example.com", "bob@example.com")
    other = hubspot.add_contact("taken@example.com")

    shop.change(ada, email="taken@example.com")
    shop.change(bob, first_name="B")
    sync()

    error = shop.crm(ada)["error"]
    assert shop.crm(ada)["state"] == "failed"
    assert (error["code"], error["hubspot_code"]) == ("conflict", "CONFLICT")
    assert other.id in error["detail"]
    assert shop.crm(bob)["state"] == "synced"
    assert told("customer.sync_failed") == 1
    hubspot.forget_calls()
    sync()
    assert hubspot.calls == []


def test_customers_that_hand_an_email_on_are_no_conflict(shop: Shop, hubspot: Simulator) -> None:
    ada, bob = synced(shop, "ada@example.com", "bob@example.com")

    shop.change(bob, email="elsewhere@example.com")
    shop.change(ada, email="bob@example.com")
    sync()
    for _ in range(5):
        pass_time()
        sync()

    assert states() == {"synced": 2}
    contact = hubspot.contact("bob@example.com")
    assert contact is not None
    assert contact.id == shop.crm(ada)["contact_id"]


def test_two_customers_never_write_to_one_contact(shop: Shop, hubspot: Simulator) -> None:
    hubspot.add_contact("ada@example.com", hs_additional_emails="augusta@example.com")
    ada, augusta = shop.add("ada@example.com"), shop.add("augusta@example.com")

    sync()

    assert shop.crm(ada)["state"] == "synced"
    crm = shop.crm(augusta)
    assert (crm["state"], crm["error"]["code"]) == ("failed", "conflict")


def test_a_refused_value_is_rejected_with_property_and_code(shop: Shop, hubspot: Simulator) -> None:
    bad, good = shop.add("ada@example.invalid"), shop.add("bob@example.com")

    sync()

    crm = shop.crm(bad)
    assert crm["state"] == "failed"
    assert (crm["error"]["code"], crm["error"]["hubspot_code"], crm["error"]["property"]) == (
        "rejected",
        "INVALID_EMAIL",
        "email",
    )
    assert shop.crm(good)["state"] == "synced"
    hubspot.forget_calls()
    sync()
    assert hubspot.calls == []  # 400 is not retried
    shop.change(bad, email="ada@example.com")
    sync()
    assert shop.crm(bad)["state"] == "synced"


def test_a_property_that_there_is_not_costs_one_call_however_many_have_it(
    shop: Shop, hubspot: Simulator
) -> None:
    hubspot.settings.row_errors = False
    shop.connect(mapping={"first_name": "no_such_thing"})
    named = [shop.add(f"c{number}@example.com", first_name="A") for number in range(4)]

    sync()

    assert len(hubspot.calls) == 1
    error = shop.crm(named[0])["error"]
    assert (error["code"], error["hubspot_code"]) == ("rejected", "PROPERTY_DOESNT_EXIST")
    assert error["property"] == "no_such_thing"
    shop.connect()
    sync()
    assert states() == {"synced": 4}


def test_one_bad_row_in_a_hundred_is_found_in_fifteen_calls(shop: Shop, hubspot: Simulator) -> None:
    hubspot.settings.row_errors = False
    ids = shop.add_many(100)
    Customer.objects.filter(pk=ids[37]).update(email="bad@many.invalid")

    sync()

    assert states() == {"synced": 99, "failed": 1}
    assert len(hubspot.calls) <= 15


@pytest.mark.parametrize("status", [400, 404])
def test_a_call_for_one_that_is_refused_is_not_tried_again(
    shop: Shop, hubspot: Simulator, status: int
) -> None:
    ada = shop.add("ada@example.com")
    hubspot.script(Scripted(status, raw="<html>no</html>"))

    sync()
    sync()

    assert len(hubspot.calls) == 1
    crm = shop.crm(ada)
    assert (crm["state"], crm["error"]["code"]) == ("failed", "rejected")
    assert crm["error"]["hubspot_code"] == f"HTTP_{status}"


@pytest.mark.parametrize(
    ("tokens", "code"), [("void", "INVALID_AUTHENTICATION"), ("unscoped", "MISSING_SCOPES")]
)
def test_a_refused_token_pauses_the_account_and_somebody_is_told(
    shop: Shop, hubspot: Simulator, tokens: str, code: str
) -> None:
    type(shop.client.account).objects.update(email="owner@shop.example")
    hubspot.settings.change(**{f"{tokens}_tokens": [TOKEN]})
    ada, bob = shop.add("ada@example.com"), shop.add("bob@example.com")

    sync()
    shop.change(bob, first_name="B")
    hubspot.forget_calls()
    assert not step()
    assert hubspot.calls == []

    for customer in (ada, bob):
        crm = shop.crm(customer)
        assert (crm["state"], crm["error"]["code"]) == ("pending", "paused")
        assert crm["error"]["hubspot_code"] == code
    mail.send_some()
    (message,) = outbox.outbox
    assert message.to == ["owner@shop.example"]
    assert TOKEN not in message.body
    hubspot.settings.change(void_tokens=[], unscoped_tokens=[])
    shop.connect()
    sync()
    assert states() == {"synced": 2}


@pytest.mark.parametrize(
    ("status", "headers", "at_least"),
    [
        (423, {}, 2.0),
        (477, {"Retry-After": "7200"}, 7200.0),
        (500, {}, 0.4),
        (502, {}, 0.4),
        (503, {"Retry-After": "30"}, 30.0),
        (521, {}, 0.4),
        (408, {}, 0.4),
        (0, {}, 0.4),
    ],
    ids=str,
)
def test_what_passes_is_waited_for_as_long_as_hubspot_says(
    shop: Shop, hubspot: Simulator, status: int, headers: dict[str, str], at_least: float
) -> None:
    (ada,) = synced(shop, "ada@example.com")
    hubspot.script(Scripted(status, headers=headers))
    shop.change(ada, first_name="B")

    assert step()

    resume_at = portal().resume_at
    assert resume_at is not None
    assert (resume_at - clock.now()).total_seconds() >= at_least - 5  # the test itself takes time
    crm = shop.crm(ada)
    assert (crm["state"], crm["error"]["code"]) == ("pending", "waiting")
    pass_time(8000)
    sync()
    assert shop.crm(ada)["state"] == "synced"
    assert shop.crm(ada)["error"] is None
    assert portal().failures == 0


@pytest.mark.parametrize(("policy", "seconds"), [("SECONDLY", 1.0), ("TEN_SECONDLY_ROLLING", 10.0)])
def test_a_short_limit_is_waited_out(
    shop: Shop, hubspot: Simulator, policy: str, seconds: float
) -> None:
    hubspot.script(Scripted(429, refusals.too_many(policy).body))
    ada = shop.add("ada@example.com")

    assert step()

    found = portal()
    assert found.status == "throttled"
    assert found.resume_at is not None
    assert (found.resume_at - clock.now()).total_seconds() >= seconds - 5
    assert shop.crm(ada)["error"]["code"] == "waiting"
    sync()
    assert states() == {"synced": 1}


def test_the_daily_limit_parks_until_it_resets_and_edits_go_on_coalescing(
    shop: Shop, hubspot: Simulator
) -> None:
    resets_at = clock.now() + timedelta(hours=9)
    hubspot.settings.change(daily_used=250_000, resets_at=resets_at.isoformat())
    ada = shop.add("ada@example.com", first_name="A")

    assert step()

    found = portal()
    assert found.status == "parked"
    assert found.resume_at == resets_at
    for name in ("B", "C", "D"):
        shop.change(ada, first_name=name)
    assert shop.crm(ada)["error"]["code"] == "parked"
    hubspot.forget_calls()
    sync()
    assert hubspot.calls == []
    hubspot.settings.daily_used = 0
    type(found).objects.update(resume_at=Now())
    sync()
    assert len(hubspot.calls) == 1
    assert states() == {"synced": 1}


@pytest.mark.parametrize("body", [{}, {"status": "COMPLETE"}, {"results": []}], ids=str)
def test_an_answer_that_says_nothing_is_read_back(
    shop: Shop, hubspot: Simulator, body: dict[str, Any]
) -> None:
    (ada,) = synced(shop, "ada@example.com")
    hubspot.script(Scripted(200, body, path=UPDATE, after=True))
    shop.change(ada, first_name="B")

    assert step()
    assert shop.crm(ada)["error"]["hubspot_code"] == "NO_RESULT"
    sync()

    assert shop.crm(ada)["state"] == "synced"
    assert [call.path.partition("contacts/")[2] for call in hubspot.calls] == [UPDATE, READ]


def test_an_answer_that_cannot_be_read_is_none(shop: Shop, hubspot: Simulator) -> None:
    hubspot.script(Scripted(200, raw="<html>maintenance</html>"))
    ada = shop.add("ada@example.com")

    assert step()

    assert shop.crm(ada)["error"]["hubspot_code"] == "MALFORMED"
    sync()
    assert states() == {"synced": 1}


def test_a_lost_answer_is_asked_for_again_and_makes_no_second_contact(
    shop: Shop, hubspot: Simulator
) -> None:
    hubspot.script(Scripted(0, path=UPSERT, after=True))
    ada = shop.add("ada@example.com")
    assert step()
    assert hubspot.contact("ada@example.com") is not None

    shop.change(ada, email="countess@example.com")
    sync()

    assert len(hubspot.records.contacts) == 1
    assert hubspot.contact("countess@example.com") is not None
    assert shop.crm(ada)["state"] == "synced"


def test_a_change_taken_back_while_its_answer_was_lost_is_taken_back_there_too(
    shop: Shop, hubspot: Simulator
) -> None:
    (ada,) = synced(shop, "ada@example.com")
    hubspot.script(Scripted(0, path=UPDATE, after=True))
    shop.change(ada, first_name="Wrong")
    assert step()

    shop.change(ada, first_name="A")
    sync()

    contact = hubspot.contact("ada@example.com")
    assert contact is not None
    assert contact.properties["firstname"] == "A"


@pytest.mark.django_db(transaction=True)
def test_what_changes_while_it_is_sent_is_sent_again(shop: Shop, hubspot: Simulator) -> None:
    (ada,) = synced(shop, "ada@example.com")
    shop.change(ada, first_name="B")

    with background(step), hubspot.holding():
        wait_until(lambda: hubspot.held_up)
        shop.change(ada, first_name="C")

    contact = hubspot.contact("ada@example.com")
    assert contact is not None
    assert contact.properties["firstname"] == "B"
    assert shop.crm(ada)["state"] == "pending"
    assert told("customer.synced") == 1
    sync()
    assert contact.properties["firstname"] == "C"
    assert shop.crm(ada)["state"] == "synced"
    assert len(hubspot.calls) == 2
