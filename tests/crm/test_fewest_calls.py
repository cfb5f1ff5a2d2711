"""A call carries 100 customers: N changed ones need ceil(N/100), unknown contacts as many lookups once."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from apps.crm.models import Contact, Customer
from apps.crm.services.batching import WINDOW_SECONDS
from apps.crm.services.customers import owe
from apps.crm.services.syncing import sync_some
from sandbox.hubspot.server import Simulator
from tests.crm.support import Shop, portal, states, step, sync
from tests.support import background, concurrently, wait_until

pytestmark = pytest.mark.django_db

# In transactions of its own: in one of the test's, no version of a row is ever dead, and each claim walks past all.
LARGE = [pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.django_db(transaction=True)]


def unlimited(hubspot: Simulator) -> None:
    hubspot.settings.rate_limit = 1_000_000


def stocked(hubspot: Simulator, number: int) -> list[str]:
    """Contacts that are in HubSpot already; their ids."""
    return [hubspot.add_contact(f"c{index}@many.example").id for index in range(number)]


@pytest.mark.parametrize(
    ("number", "calls"),
    [(1_000, 10), pytest.param(10_000, 100, marks=LARGE)],
)
def test_customers_whose_contacts_are_known(
    shop: Shop, hubspot: Simulator, number: int, calls: int
) -> None:
    unlimited(hubspot)
    shop.add_many(number, contact_ids=stocked(hubspot, number))

    sync()

    assert states() == {"synced": number}
    assert len(hubspot.calls) == calls
    assert (portal().calls, portal().changed) == (calls, number)
    assert {one.properties["firstname"] for one in hubspot.records.contacts.values()} == {"A"}


@pytest.mark.parametrize(
    ("number", "calls"),
    [(500, 10), pytest.param(10_000, 200, marks=LARGE)],
)
def test_customers_whose_contacts_have_to_be_found(
    shop: Shop, hubspot: Simulator, number: int, calls: int
) -> None:
    unlimited(hubspot)
    shop.connect(missing_contact="skip")
    stocked(hubspot, number)
    shop.add_many(number)

    sync()

    assert states() == {"synced": number}
    assert len(hubspot.calls) == calls


def test_customers_that_may_be_made_need_no_lookup(shop: Shop, hubspot: Simulator) -> None:
    stocked(hubspot, 100)
    shop.add_many(250)

    sync()

    assert states() == {"synced": 250}
    assert [call.size for call in hubspot.calls] == [100, 100, 50]


def test_many_edits_of_one_customer_are_one_call(shop: Shop, hubspot: Simulator) -> None:
    ada = shop.add("ada@example.com")
    for number in range(10):
        shop.change(ada, first_name=str(number))

    sync()

    (call,) = hubspot.calls
    assert call.body["inputs"][0]["properties"] == {"email": "ada@example.com", "firstname": "9"}


def test_a_change_that_hubspot_would_not_see_is_no_call(shop: Shop, hubspot: Simulator) -> None:
    ada = shop.add("ada@example.com", first_name="Ada")
    sync()
    hubspot.forget_calls()

    shop.change(ada, properties={"private": "diary"}, external_id="c-1")
    shop.change(ada, first_name="Augusta")
    shop.change(ada, first_name="Ada")
    sync()

    assert hubspot.calls == []
    assert shop.crm(ada)["state"] == "synced"


def test_only_what_changed_is_sent(shop: Shop, hubspot: Simulator) -> None:
    ada = shop.add("ada@example.com", first_name="Ada", last_name="King")
    sync()
    hubspot.forget_calls()

    shop.change(ada, first_name="Augusta")
    sync()

    assert hubspot.calls[0].body["inputs"][0]["properties"] == {"firstname": "Augusta"}


def test_nothing_is_sent_before_the_collecting_time_is_over(shop: Shop, hubspot: Simulator) -> None:
    step()
    ada = shop.add("ada@example.com")

    assert not sync_some()
    assert hubspot.calls == []
    assert shop.crm(ada)["state"] == "pending"


@pytest.mark.django_db(transaction=True)
def test_edits_while_a_call_is_under_way_wait_for_the_next(shop: Shop, hubspot: Simulator) -> None:
    ada = shop.add("ada@example.com")

    with background(step), hubspot.holding():
        wait_until(lambda: hubspot.held_up)
        for number in range(5):
            shop.change(ada, first_name=str(number))
        assert not sync_some()  # it is leased: never two calls about one customer at once
    sync()

    assert len(hubspot.calls) == 2
    assert Contact.objects.get().acknowledged["firstname"] == "4"


@pytest.mark.parametrize("times", [3, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_at_once_do_not_split_a_batch(
    shop: Shop, hubspot: Simulator, times: int
) -> None:
    unlimited(hubspot)
    for _ in range(times):
        shop.forget_customers()
        hubspot.forget_calls()
        shop.add_many(350)

        concurrently(4, lambda _: sync_some())

        assert sorted(call.size for call in hubspot.calls) == [50, 100, 100, 100]


@pytest.mark.django_db(transaction=True)
def test_what_hubspot_has_just_confirmed_is_collected_anew(shop: Shop, hubspot: Simulator) -> None:
    """However many change: otherwise those that change all the time would fill one call after the other."""
    unlimited(hubspot)
    ids = shop.add_many(150)
    sync()
    Contact.objects.update(synced_at=Now())
    hubspot.forget_calls()

    Customer.objects.update(first_name="B")
    owe(ids)
    assert not sync_some()
    later = timedelta(seconds=WINDOW_SECONDS)
    Contact.objects.update(synced_at=F("synced_at") - later, due_at=F("due_at") - later)
    while sync_some():
        pass

    assert sorted(call.size for call in hubspot.calls) == [50, 100]
    assert states() == {"synced": 150}


@pytest.mark.django_db(transaction=True)
def test_what_is_to_be_sent_again_does_not_wait(shop: Shop, hubspot: Simulator) -> None:
    ada = shop.add("ada@example.com")
    sync()
    Contact.objects.update(synced_at=Now())
    hubspot.forget_calls()

    shop.client.post(f"/api/v1/customers/{ada['id']}/sync")
    sync_some()

    assert [call.size for call in hubspot.calls] == [1]
