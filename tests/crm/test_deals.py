"""Deals that were sold become HubSpot's, once each, with the contact of their buyer."""

import pytest
from django.db.models import Value

from apps.common.ids import uuid7
from apps.crm import selectors
from apps.crm.enums import Call
from apps.crm.handlers import on_sales
from apps.crm.hubspot.client import DEAL_ID
from apps.crm.models import Customer, SoldDeal
from apps.crm.services.batching import take_batch
from apps.crm.services.deal_judging import DealParcel
from apps.crm.services.deal_recording import note_sending
from apps.crm.services.deal_sync import sync_deals
from apps.events.dispatch import dispatch
from apps.events.models import Event
from sandbox.hubspot.server import Simulator
from sandbox.hubspot.settings import Scripted
from tests.conftest import MakeClient
from tests.crm.market import (
    CALLS,
    Market,
    deal_calls,
    deal_states,
    follow,
    step,
    tell,
    wait,
)
from tests.crm.support import TOKEN, Shop, portal
from tests.support import background, concurrently, wait_until

pytestmark = pytest.mark.django_db


@pytest.fixture
def market(shop: Shop, api: MakeClient) -> Market:
    return Market(shop, api())


@pytest.fixture
def ready(market: Market, hubspot: Simulator) -> Market:
    """One whose buyer is in HubSpot, which knows our property."""
    hubspot.records.define("deals", DEAL_ID, hasUniqueValue=True)
    market.add_buyer()
    follow()
    SoldDeal.objects.all().delete()
    market.add_many(1)
    follow()
    SoldDeal.objects.all().delete()
    hubspot.records.deals.clear()
    hubspot.forget_calls()
    return market


def test_a_sale_to_a_buyer_becomes_a_deal_with_its_contact(
    market: Market, hubspot: Simulator
) -> None:
    market.add_buyer()
    deal = market.sell()

    follow()

    (made,) = hubspot.deals()
    contact = hubspot.contact("buyer@example.com")
    assert contact is not None
    assert made["contacts"] == [contact.id]
    row = SoldDeal.objects.get()
    assert made["properties"] == {
        DEAL_ID: deal["id"],
        "dealname": "12 chairs",
        "amount": "1080.00",
        "deal_currency_code": "EUR",
        "closedate": f"{row.sold_at:%Y-%m-%dT%H:%M:%SZ}",
        "pipeline": "default",
        "dealstage": "closedwon",
        "hs_object_id": made["id"],
    }
    assert (row.state, row.hubspot_id) == ("synced", made["id"])


def test_hubspot_gets_the_unique_property_once(market: Market, hubspot: Simulator) -> None:
    market.add_buyer()
    for _ in range(2):
        market.sell()
        follow()

    assert hubspot.records.properties["deals"][DEAL_ID]["hasUniqueValue"] is True
    assert [call.method for call in hubspot.calls_to("properties/deals")] == ["GET", "POST"]
    assert len(hubspot.deals()) == 2


def test_a_deal_waits_for_the_contact_of_its_buyer(market: Market, hubspot: Simulator) -> None:
    market.sell()
    follow()
    row = SoldDeal.objects.get()
    assert (row.state, row.error_reason) == ("skipped", "NO_CONTACT")
    assert hubspot.calls_to(CALLS) == []

    market.add_buyer()
    follow()

    assert len(hubspot.deals()) == 1
    assert deal_states() == {"synced": 1}


def test_a_sale_made_elsewhere_has_no_buyer_and_makes_no_deal(
    ready: Market, hubspot: Simulator
) -> None:
    deal = ready.offer()
    sold = ready.seller.patch(f"/api/v1/deals/{deal['id']}", {"status": "sold"})
    assert sold.status_code == 200

    follow()

    assert not SoldDeal.objects.exists()
    assert hubspot.deals() == []


def test_off_makes_none_and_on_again_all_there_are(ready: Market, hubspot: Simulator) -> None:
    ready.shop.connect(send_deals=False)
    ready.sell()
    follow()
    assert hubspot.calls_to(CALLS) == []

    ready.shop.connect(send_deals=True)
    follow()

    assert len(hubspot.deals()) == 1


def test_a_sale_taken_back_is_lost(ready: Market, hubspot: Simulator) -> None:
    deal = ready.sell()
    follow()
    hubspot.forget_calls()

    ready.take_back(deal)
    follow()

    (made,) = hubspot.deals()
    assert made["properties"]["dealstage"] == "closedlost"
    (call,) = hubspot.calls_to(CALLS)
    assert call.body["inputs"][0]["properties"] == {"dealstage": "closedlost"}


def test_a_sale_taken_back_before_hubspot_heard_of_it_is_not_told(
    ready: Market, hubspot: Simulator
) -> None:
    ready.take_back(ready.sell())

    follow()

    assert hubspot.deals() == []
    assert SoldDeal.objects.get().error_reason == "TAKEN_BACK"


def test_the_stages_are_the_accounts_own(ready: Market, hubspot: Simulator) -> None:
    stages = {"pipeline": "7", "won": "71", "lost": "72"}
    ready.shop.connect(deal_stages=stages)
    ready.sell()

    follow()

    (made,) = hubspot.deals()
    assert (made["properties"]["pipeline"], made["properties"]["dealstage"]) == ("7", "71")


@pytest.mark.parametrize(
    ("number", "calls"), [(300, 3), pytest.param(1000, 10, marks=pytest.mark.slow)]
)
def test_a_call_is_for_a_hundred_deals(
    ready: Market, hubspot: Simulator, number: int, calls: int
) -> None:
    ready.add_many(number)
    before = portal().changed

    tell()

    assert deal_calls(hubspot) == [("create", 100)] * calls
    assert len(hubspot.calls) == calls
    assert deal_states() == {"synced": number}
    assert len({deal["properties"][DEAL_ID] for deal in hubspot.deals()}) == number
    assert all(len(deal["contacts"]) == 1 for deal in hubspot.deals())
    assert portal().changed - before == number


def test_an_event_that_comes_again_makes_no_second_deal(ready: Market, hubspot: Simulator) -> None:
    ready.sell()
    follow()
    events = list(Event.objects.filter(type__in=("invoice.issued", "customer.synced")))
    hubspot.forget_calls()

    on_sales(events)
    tell()

    assert hubspot.calls_to(CALLS) == []
    assert len(hubspot.deals()) == 1


@pytest.mark.parametrize("is_carried_out", [True, False])
def test_a_call_whose_answer_is_lost_makes_one_deal_each(
    ready: Market, hubspot: Simulator, is_carried_out: bool
) -> None:
    ready.add_many(100)
    hubspot.script(Scripted(status=0, path="deals/batch/create", after=is_carried_out))
    step()
    assert deal_states() == {"pending": 100}

    tell()

    assert len(hubspot.deals()) == 100
    assert deal_states() == {"synced": 100}
    assert ("read", 1) in deal_calls(hubspot)  # one asks whether HubSpot is there, and finds itself
    assert sum(size for call, size in deal_calls(hubspot) if call == "create") == (
        100 if is_carried_out else 200
    )


def test_a_second_deal_of_one_id_is_refused_and_the_first_is_found(
    ready: Market, hubspot: Simulator
) -> None:
    """As after a kill whose lease ran out while the call was still on its way."""
    ids = ready.add_many(3)
    hubspot.records.create("deals", {"dealname": "deal 1", DEAL_ID: str(ids[1])})

    tell()

    assert len(hubspot.deals()) == 3
    assert deal_states() == {"synced": 3}
    amounts = {
        deal["properties"][DEAL_ID]: deal["properties"]["amount"] for deal in hubspot.deals()
    }
    assert amounts[str(ids[1])] == "1.01"


def test_without_row_errors_too(ready: Market, hubspot: Simulator) -> None:
    hubspot.settings.row_errors = False
    ids = ready.add_many(8)
    hubspot.records.create("deals", {"dealname": "deal 5", DEAL_ID: str(ids[5])})

    tell()

    assert len(hubspot.deals()) == 8
    assert deal_states() == {"synced": 8}


@pytest.mark.parametrize("row_errors", [True, False])
def test_one_that_hubspot_rejects_does_not_stop_the_others(
    ready: Market, hubspot: Simulator, row_errors: bool
) -> None:
    hubspot.settings.row_errors = row_errors
    options = [{"value": "EUR"}]
    hubspot.records.define("deals", "deal_currency_code", type="enumeration", options=options)
    ids = ready.add_many(10)
    SoldDeal.objects.filter(pk=ids[3]).update(currency="USD")

    tell()

    assert deal_states() == {"synced": 9, "failed": 1}
    rejected = SoldDeal.objects.get(pk=ids[3])
    assert (rejected.error_code, rejected.error_reason, rejected.error_property) == (
        "rejected",
        "INVALID_OPTION",
        "deal_currency_code",
    )
    assert len(hubspot.deals()) == 9


def test_a_token_that_may_not_see_to_deals_still_sees_to_contacts(
    market: Market, hubspot: Simulator
) -> None:
    hubspot.settings.unscoped_path = "deals"
    buyer = market.add_buyer()
    market.sell()

    follow()

    assert market.shop.crm(buyer)["state"] == "synced"
    told = market.seller.get("/api/v1/crm/connection").json()["hubspot"]
    assert told["status"] == "ok"
    assert "crm.objects.deals.write" in told["deals_error"]
    asked = len(hubspot.calls)
    tell()
    assert len(hubspot.calls) == asked

    hubspot.settings.unscoped_path = ""
    market.shop.connect()
    follow()
    assert len(hubspot.deals()) == 1
    assert market.seller.get("/api/v1/crm/connection").json()["hubspot"]["deals_error"] is None


def test_a_property_that_is_not_unique_holds_deals_back(market: Market, hubspot: Simulator) -> None:
    hubspot.records.define("deals", DEAL_ID)
    market.add_buyer()
    market.sell()

    follow()

    assert hubspot.deals() == []
    assert "not unique" in portal().deals_error


def test_a_deal_deleted_in_hubspot_is_not_made_again(ready: Market, hubspot: Simulator) -> None:
    deal = ready.sell()
    follow()
    hubspot.records.archive("deals", next(iter(hubspot.records.deals.values())))

    ready.take_back(deal)
    follow()

    assert hubspot.deals() == []
    assert SoldDeal.objects.get().error_reason == "DELETED_IN_HUBSPOT"


@pytest.mark.parametrize("status", [429, 500, 503, 477])
def test_what_passes_is_waited_for(ready: Market, hubspot: Simulator, status: int) -> None:
    ready.add_many(5)
    hubspot.settings.always = status
    step()
    assert deal_states() == {"pending": 5}

    hubspot.settings.always = 0
    tell()

    assert deal_states() == {"synced": 5}
    assert len(hubspot.deals()) == 5


def test_another_token_finds_the_deal_that_it_takes_back(ready: Market, hubspot: Simulator) -> None:
    deal = ready.sell()
    follow()
    ready.shop.connect(access_token=f"{TOKEN}-rotated")
    follow()

    ready.take_back(deal)
    follow()

    (made,) = hubspot.deals()
    assert made["properties"]["dealstage"] == "closedlost"


@pytest.mark.django_db(transaction=True)
def test_two_workers_share_the_deals_and_make_none_twice(ready: Market, hubspot: Simulator) -> None:
    ready.add_many(400)

    def work(_: int) -> None:
        while sync_deals():
            pass

    wait()
    concurrently(2, work)
    tell()

    assert deal_calls(hubspot) == [("create", 100)] * 4
    assert len(hubspot.deals()) == 400


@pytest.mark.django_db(transaction=True)
def test_taken_back_while_the_call_is_under_way(ready: Market, hubspot: Simulator) -> None:
    deal = ready.sell()
    dispatch()

    with background(step), hubspot.holding():
        wait_until(lambda: hubspot.held_up)
        ready.take_back(deal)
        dispatch()
    tell()

    (made,) = hubspot.deals()
    assert made["properties"]["dealstage"] == "closedlost"
    assert deal_states() == {"synced": 1}


def test_a_property_that_another_worker_makes_meanwhile_holds_nothing_back(
    market: Market, hubspot: Simulator
) -> None:
    hubspot.records.define("deals", DEAL_ID, hasUniqueValue=True)
    hubspot.script(Scripted(404, {"category": "OBJECT_NOT_FOUND"}, path=f"deals/{DEAL_ID}"))
    market.add_buyer()
    market.sell()

    follow()

    asked = hubspot.calls_to("properties/deals")
    assert [(call.method, call.status) for call in asked] == [
        ("GET", 404),
        ("POST", 409),
        ("GET", 200),
    ]
    assert len(hubspot.deals()) == 1
    assert portal().deals_error == ""


def test_a_name_that_an_archived_property_has_holds_deals_back(
    market: Market, hubspot: Simulator
) -> None:
    hubspot.records.define("deals", DEAL_ID, archived=True)
    market.add_buyer()
    market.sell()

    follow()
    tell()

    assert len(hubspot.calls_to("properties/deals")) == 3
    assert "does not exist" in portal().deals_error


@pytest.mark.parametrize("row_errors", [True, False])
def test_a_contact_deleted_in_hubspot_holds_back_its_own_deals_alone(
    ready: Market, hubspot: Simulator, row_errors: bool
) -> None:
    hubspot.settings.row_errors = row_errors
    contact = hubspot.contact("buyer@example.com")
    assert contact is not None
    hubspot.delete_contact(contact.id)
    deal = ready.sell()
    follow()
    row = SoldDeal.objects.get(pk=deal["id"])
    assert (row.state, row.error_reason) == ("skipped", "NO_CONTACT")

    contact.archived = False
    customer = Customer.objects.get(account=ready.seller.account, email="buyer@example.com")
    ready.seller.post(f"/api/v1/customers/{customer.pk}/sync")
    follow()

    assert deal_states() == {"synced": 1}


def test_a_lease_that_ran_out_before_the_call_sends_nothing(
    ready: Market, hubspot: Simulator
) -> None:
    """Whoever has it by now may know better, and has told HubSpot perhaps."""
    ready.add_many(2)
    line = selectors.line(ready.seller.account.id)
    assert line is not None
    wait()
    rows = SoldDeal.objects.annotate(call=Value(Call.MAKE_DEALS.value))
    batch = take_batch("crm.deals", line, rows, [Call.MAKE_DEALS])
    assert batch is not None
    parcels = [DealParcel(row, {"dealname": row.name}, batch.call, "1") for row in batch.rows]
    SoldDeal.objects.filter(pk=batch.rows[0].pk).update(lease_id=uuid7())

    assert [one.id for one in note_sending(parcels)] == [batch.rows[1].pk]
