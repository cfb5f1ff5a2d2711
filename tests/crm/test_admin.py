"""The back office's pages of customers and HubSpot: they tell how it fares, and actions ask again."""

from typing import Any

import pytest
from django.contrib.admin import site
from django.test import Client

from apps.accounts.models import User
from apps.common.ids import uuid7
from apps.crm.models import ContactImport, Erasure, SoldDeal
from apps.crm.services.checking import check_next
from apps.crm.services.deal_sync import sync_deals
from apps.crm.services.importing import start_import
from sandbox.hubspot.settings import Scripted
from tests.crm.support import TOKEN, Shop, sync
from tests.crm.test_erasure import erase_all
from tests.support.backoffice import act

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def office() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


def sold_deal(shop: Shop, **fields: Any) -> SoldDeal:
    """To the seller itself, which has no contact of itself."""
    account = shop.client.account
    return SoldDeal.objects.create(
        id=uuid7(),
        account=account,
        buyer=account,
        name="12 chairs",
        amount=108_000,
        currency="EUR",
        sold_at=account.created_at,
        due_at=account.created_at,
        **fields,
    )


def test_every_page_opens_and_shows_no_token(office: Client, shop: Shop) -> None:
    customer = shop.add("ada@example.com")
    sync()
    shop.hubspot.settings.change(always=503)
    shop.client.post(f"/api/v1/customers/{customer['id']}/erase", {"delete_contact": True})
    start_import(account_id=shop.client.account.id)
    sold_deal(shop)

    for model in site._registry:
        if model._meta.app_label == "crm":
            path = f"/admin/crm/{model._meta.model_name}/"
            row = model._default_manager.first()
            assert row is not None, model
            for page in (path, f"{path}{row.pk}/change/"):
                answer = office.get(page)
                assert answer.status_code == 200, page
                assert TOKEN not in answer.content.decode()


def test_what_hubspot_rejects_is_listed_with_its_reason_and_sent_again(
    office: Client, shop: Shop
) -> None:
    customer = shop.add("ada@example.invalid")
    sync()
    assert shop.crm(customer)["state"] == "failed"

    listed = office.get("/admin/crm/contact/", {"state__exact": "failed"}).content.decode()
    assert "INVALID_EMAIL" in listed
    calls = len(shop.hubspot.calls)

    act(office, "crm/contact", "sync", customer["id"])

    assert shop.crm(customer)["state"] == "pending"
    sync()
    assert len(shop.hubspot.calls) > calls


def test_a_connection_shows_what_is_owed_and_is_looked_at_again(office: Client, shop: Shop) -> None:
    customer = shop.add("ada@example.com")
    sync()
    calls = len(shop.hubspot.calls)

    act(office, "crm/connection", "resync", str(shop.client.account.id))
    sync()

    assert shop.crm(customer)["state"] == "synced"
    assert len(shop.hubspot.calls) == calls  # HubSpot has it all


def test_a_mapping_is_checked_and_what_is_found_is_shown(office: Client, shop: Shop) -> None:
    shop.connect(mapping={"first_name": "nickname"})
    check_next()
    assert "nickname (missing)" in office.get("/admin/crm/connection/").content.decode()
    shop.hubspot.records.define("contacts", "nickname")

    act(office, "crm/connection", "check_mapping", str(shop.client.account.id))
    check_next()

    assert "nickname (missing)" not in office.get("/admin/crm/connection/").content.decode()


def test_a_deal_that_was_not_sent_tells_why_and_is_sent_again(office: Client, shop: Shop) -> None:
    deal = sold_deal(shop)
    while sync_deals():
        pass
    assert "NO_CONTACT" in office.get("/admin/crm/solddeal/").content.decode()
    shop.add("self@example.com", external_id=shop.client.account.slug)
    sync()

    act(office, "crm/solddeal", "send", str(deal.pk))
    while sync_deals():
        pass

    assert [one["properties"]["dealname"] for one in shop.hubspot.deals()] == ["12 chairs"]


def test_an_erasure_that_hubspot_refused_is_tried_again(office: Client, shop: Shop) -> None:
    customer = shop.add("ada@example.com")
    sync()
    body = {"status": "error", "message": "Not now.", "category": "VALIDATION_ERROR"}
    shop.hubspot.script(Scripted(status=400, body=body, path="gdpr-delete"))
    shop.client.post(f"/api/v1/customers/{customer['id']}/erase", {"delete_contact": True})
    erase_all()
    assert "Not now." in office.get("/admin/crm/erasure/").content.decode()

    act(office, "crm/erasure", "retry", customer["id"])
    erase_all()

    assert not Erasure.objects.exists()
    assert shop.hubspot.contact("ada@example.com") is None


def test_contacts_are_brought_in_by_an_action_and_paused_by_another(
    office: Client, shop: Shop
) -> None:
    account_id = str(shop.client.account.id)

    assert "under way" in act(office, "crm/connection", "import_contacts", account_id)
    assert ContactImport.objects.filter(due_at__isnull=False).exists()
    act(office, "crm/contactimport", "pause", account_id)
    assert ContactImport.objects.filter(due_at=None).exists()
    act(office, "crm/contactimport", "resume", account_id)
    assert ContactImport.objects.filter(due_at__isnull=False).exists()
