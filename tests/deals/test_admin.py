"""The back office's pages of deals: all can be read, state changes by actions alone."""

import pytest
from django.contrib.admin import site
from django.test import Client

from apps.accounts.models import User
from apps.deals.models import Authorization, Deal, DealHistory, Invoice
from apps.events.models import ChannelMember
from tests.deals.support import DEALS, Deals, place, status_of, types
from tests.support import ApiClient
from tests.support.backoffice import act


@pytest.fixture
def office(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


def test_every_page_can_be_read_and_searched(
    office: Client, seller: ApiClient, authorized: str, deals: Deals
) -> None:
    deal = deals(discount={"type": "flat", "amount": 1})

    for model in site._registry:
        if model._meta.app_label != "deals":
            continue
        path = f"/admin/deals/{model._meta.model_name}/"
        row = model._default_manager.first()
        if row is None:
            continue  # of bids and invoices: their own tests
        for query in ("", f"?q={row.pk}", "?q=the-seller", "?q=%22x%00", f"?q={deal['id']}"):
            assert office.get(path + query).status_code == 200
        assert office.get(f"{path}{row.pk}/change/").status_code == 200
        assert office.get(f"{path}{row.pk}/delete/").status_code == 403
        assert office.get(f"{path}add/").status_code == 403


def test_deal_page_shows_items_and_timeline(
    office: Client, seller: ApiClient, deals: Deals
) -> None:
    deal = deals()
    seller.patch(f"{DEALS}/{deal['id']}", {"total_price": 4_321})

    page = office.get(f"/admin/deals/deal/{deal['id']}/change/").content.decode()

    assert "9.00 EUR" in page
    assert "4321" in page
    assert "deal.created" in page
    assert "deal.updated" in page
    assert seller.key.prefix in page


def test_saving_the_page_changes_nothing(office: Client, deals: Deals) -> None:
    deal = deals()
    before = Deal.objects.values().get()

    office.post(f"/admin/deals/deal/{deal['id']}/change/", {"name": "x", "status": "sold"})

    assert Deal.objects.values().get() == before


def test_search_by_id_and_by_the_seller(office: Client, seller: ApiClient, deals: Deals) -> None:
    deals(name="This one")

    for term in (Deal.objects.get().id, seller.account.id, "the-sel"):
        assert "This one" in office.get(f"/admin/deals/deal/?q={term}").content.decode()
    assert "This one" not in office.get("/admin/deals/deal/?q=else").content.decode()


@pytest.mark.parametrize(("action", "status"), [("mark_sold", "sold"), ("withdraw", "withdrawn")])
def test_closing_goes_through_the_service(
    office: Client, deals: Deals, action: str, status: str
) -> None:
    deal = deals()

    assert f"is {status}" in act(office, "deals/deal", action, deal["id"])
    assert types(deal["id"]) == ["deal.created", f"deal.{status}"]
    assert DealHistory.objects.order_by("id")[1].actor["label"] == "operator"

    assert "stays as it is" in act(office, "deals/deal", action, deal["id"])
    assert len(types(deal["id"])) == 2


def test_revoking_goes_through_the_service(office: Client, authorized: str) -> None:
    assert "revoked." in act(office, "deals/authorization", "revoke", authorized)

    assert not Authorization.objects.exists()
    assert not ChannelMember.objects.exists()
    assert types(authorized) == ["authorization.granted", "authorization.revoked"]


def test_one_without_the_right_cannot_act(deals: Deals) -> None:
    deal = deals()
    client = Client()
    client.force_login(User.objects.create_user("guest", is_staff=True))

    act_status = client.post(
        "/admin/deals/deal/", {"action": "withdraw", "_selected_action": [deal["id"]]}
    ).status_code

    assert act_status == 403
    assert Deal.objects.get().status == "available"


def test_bids_are_shown_and_answered_for_the_seller(
    office: Client, seller: ApiClient, bidder: ApiClient, rival: ApiClient, deals: Deals
) -> None:
    deal = deals()
    low, high = place(bidder, deal, 1_234), place(rival, deal, 5_678)
    page = office.get(f"/admin/deals/deal/{deal['id']}/change/").content.decode()
    assert "12.34 EUR" in page
    assert "56.78 EUR" in page
    assert "56.78 EUR" in office.get("/admin/deals/deal/").content.decode()

    act(office, "deals/bid", "reject", high["id"])
    said = act(office, "deals/bid", "accept", low["id"], high["id"])

    assert "is accepted" in said
    assert "The bid is rejected" in said
    assert (status_of(seller, low), status_of(seller, high)) == ("accepted", "rejected")
    assert Invoice.objects.get(deal=deal["id"]).net_amount == 1_234
    entry = DealHistory.objects.filter(deal=deal["id"]).last()
    assert entry is not None
    assert entry.actor["label"] == "operator"
    for query in ("", f"?q={low['id']}", f"?q={bidder.account.slug}", "?status__exact=accepted"):
        assert office.get(f"/admin/deals/bid/{query}").status_code == 200
    assert office.get(f"/admin/deals/bid/{low['id']}/change/").status_code == 200
