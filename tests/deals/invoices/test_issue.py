"""A sale issues an invoice, which says what was so then."""

from typing import Any

import pytest

from apps.deals.models import Invoice
from apps.events.models import Event
from tests.deals.invoices.conftest import BUYER, CREDIT_NOTES, INVOICES, SELLER, Sale
from tests.deals.support import DEALS, Deals, auction, end_auction, place, published, types
from tests.support import ApiClient, run_jobs

pytestmark = pytest.mark.django_db


def test_invoice_tells_who_sold_what_to_whom_for_how_much(
    seller: ApiClient, buyer: ApiClient, sale: Sale
) -> None:
    invoice = sale(9_001, name="Twelve chairs", items=[{"name": "Chair", "price": 1}])

    assert invoice["number"] == 1
    assert (invoice["seller"], invoice["buyer"]) == (str(seller.account.id), str(buyer.account.id))
    assert invoice["status"] == "issued"
    assert invoice["lines"] == [
        {"description": "Twelve chairs", "items": ["Chair"], "amount": 9_001}
    ]
    assert (invoice["net_amount"], invoice["tax_rate"]) == (9_001, 19.0)
    assert (invoice["tax_amount"], invoice["total"]) == (1_710, 10_711)
    assert invoice["seller_details"] == {
        "name": "The-Seller",
        **{name: value for name, value in SELLER.items() if name != "tax_rate"},
    }
    assert invoice["buyer_details"] == {"name": "The-Buyer", **BUYER}
    assert buyer.get(f"{INVOICES}/{invoice['id']}").json() == invoice


def test_a_sale_at_the_final_price_shows_the_discount(sale: Sale) -> None:
    invoice = sale(9_000, total_price=10_000, discount={"type": "percentage", "amount": 10})

    assert (invoice["subtotal"], invoice["discount_amount"]) == (10_000, 1_000)
    assert invoice["discount"] == {"type": "percentage", "amount": 10}
    assert invoice["net_amount"] == 9_000


@pytest.mark.parametrize("amount", [1, 8_999, 9_001, 12_345])
def test_any_other_price_was_agreed_as_a_whole(sale: Sale, amount: int) -> None:
    invoice = sale(amount, total_price=10_000, discount={"type": "flat", "amount": 1_000})

    assert (invoice["subtotal"], invoice["discount"]) == (amount, None)
    assert invoice["lines"][0]["amount"] == invoice["net_amount"] == amount


def test_it_is_due_after_the_days_of_the_setting(sale: Sale, settings: Any) -> None:
    settings.INVOICE_PAYMENT_DAYS = 30

    invoice = Invoice.objects.get(pk=sale()["id"])

    assert (invoice.due_date - invoice.issued_at.date()).days == 30
    assert invoice.remind_at is not None
    assert (invoice.remind_at.date() - invoice.due_date).days == 1


def test_later_changes_of_the_accounts_leave_it_as_it_is(
    seller: ApiClient, buyer: ApiClient, sale: Sale
) -> None:
    before = sale()

    for client in (seller, buyer):
        change = {"legal_name": "Renamed", "address": "", "tax_rate": 7}
        assert client.patch("/api/v1/me", change).status_code == 200

    assert seller.get(f"{INVOICES}/{before['id']}").json() == before
    after = sale()
    assert after["tax_rate"] == 7.0
    assert after["buyer_details"]["legal_name"] == "Renamed"


def test_numbers_count_for_each_seller(
    sale: Sale, buyer: ApiClient, api: Any, deals: Deals
) -> None:
    other = api("deals:write")
    other.post("/api/v1/authorizations", {"buyer": buyer.account.slug})
    deal = deals(other)

    numbers = [sale()["number"], sale()["number"]]
    bid = place(buyer, deal, 500)
    assert other.post(f"/api/v1/bids/{bid['id']}/accept").status_code == 200

    assert numbers == [1, 2]
    (invoice,) = other.get(INVOICES).json()["results"]
    assert invoice["number"] == 1


def test_an_auction_is_invoiced_when_it_closes(
    seller: ApiClient, buyer: ApiClient, sale: Sale, deals: Deals
) -> None:
    deal = deals(auction=auction())
    place(buyer, deal, 700)

    end_auction(deal)
    run_jobs()

    (invoice,) = buyer.get(INVOICES, deal=deal["id"]).json()["results"]
    assert invoice["net_amount"] == 700
    assert types(invoice["id"]) == ["invoice.issued"]


def test_a_sale_made_elsewhere_has_no_invoice(seller: ApiClient, deals: Deals) -> None:
    deal = deals()

    assert seller.patch(f"{DEALS}/{deal['id']}", {"status": "sold"}).status_code == 200

    assert seller.get(INVOICES).json()["results"] == []


def test_seller_and_buyer_hear_of_it_without_names_or_addresses(
    seller: ApiClient, buyer: ApiClient, sale: Sale, someone: ApiClient
) -> None:
    invoice = sale()
    run_jobs()

    (told,) = published(invoice["id"])

    expected = {k: v for k, v in invoice.items() if not k.endswith("_details")}
    assert told["data"]["object"] == expected
    for client in (seller, buyer):
        events = client.get("/api/v1/events", types="invoice.*").json()["results"]
        assert [event["subject"] for event in events] == [invoice["id"]]
    assert someone.get("/api/v1/events").json()["results"] == []
    payload = bytes(Event.objects.get(subject=invoice["id"]).payload).decode()
    for private in ("Nordlicht", "Μαρούσι", "papadopoulos", "DE123456789"):
        assert private not in payload


def test_the_buyer_keeps_its_invoice_when_the_authorization_ends(
    seller: ApiClient, buyer: ApiClient, sale: Sale
) -> None:
    invoice = sale()
    (authorization,) = seller.get("/api/v1/authorizations").json()["results"]

    assert seller.delete(f"/api/v1/authorizations/{authorization['id']}").status_code == 204

    assert buyer.get(f"{DEALS}/{invoice['deal']}").status_code == 404
    assert buyer.get(f"{INVOICES}/{invoice['id']}").json() == invoice
    assert len(buyer.get(INVOICES).json()["results"]) == 1


def test_of_another_account_there_is_nothing_at_any_address(
    seller: ApiClient, sale: Sale, api: Any
) -> None:
    kept, void = sale(), sale()
    void = seller.post(f"{INVOICES}/{void['id']}/void").json()
    strangers = [api(), api("deals:write")]
    strangers[0].post("/api/v1/authorizations", {"buyer": "the-buyer"})

    for stranger in strangers:
        for name, value in (
            ("limit", "200"),
            ("seller", "the-seller"),
            ("buyer", "the-buyer"),
            ("deal", kept["deal"]),
        ):
            assert stranger.get(f"{INVOICES}?{name}={value}").json()["results"] == []
        assert stranger.get(CREDIT_NOTES).json()["results"] == []
        for path in (f"{INVOICES}/{kept['id']}", f"{CREDIT_NOTES}/{void['credit_note']['id']}"):
            for accept in ("application/json", "application/pdf"):
                answer = stranger.get(path, headers={"Accept": accept})
                assert answer.status_code == 404
        for verb in ("mark-paid", "void"):
            answer = stranger.post(f"{INVOICES}/{kept['id']}/{verb}", {})
            assert (answer.status_code, answer.json()["code"]) == (404, "invoice_not_found")
    assert seller.get(f"{INVOICES}/{kept['id']}").json() == kept


def test_the_buyer_reads_and_does_not_write(buyer: ApiClient, sale: Sale) -> None:
    invoice = sale()

    for verb in ("mark-paid", "void"):
        assert buyer.post(f"{INVOICES}/{invoice['id']}/{verb}", {}).status_code == 404

    assert buyer.get(f"{INVOICES}/{invoice['id']}").json() == invoice


def test_lists_are_filtered(seller: ApiClient, buyer: ApiClient, sale: Sale) -> None:
    first, second, third = sale(), sale(), sale()
    seller.post(f"{INVOICES}/{first['id']}/mark-paid", {})
    all_of_them = [third["id"], second["id"], first["id"]]

    def found(client: ApiClient, **query: Any) -> list[str]:
        answer = client.get(INVOICES, **query)
        assert answer.status_code == 200, answer.content
        return [row["id"] for row in answer.json()["results"]]

    for client, role in ((seller, "seller"), (buyer, "buyer")):
        assert found(client) == found(client, role=role) == all_of_them
        assert found(client, status="paid") == [first["id"]]
        assert found(client, status="issued", seller="the-seller") == all_of_them[:2]
        assert found(client, buyer=str(buyer.account.id)) == all_of_them
        assert found(client, buyer="nobody") == []
        assert found(client, deal=second["deal"]) == [second["id"]]
        assert found(client, due_before=first["due_date"]) == []
        assert found(client, due_before="2999-01-01") == all_of_them
    assert found(seller, role="buyer") == found(buyer, role="seller") == []


def test_lists_have_pages(seller: ApiClient, sale: Sale) -> None:
    numbers = [sale()["number"] for _ in range(5)]

    page = seller.get(INVOICES, limit=2).json()
    seen = [row["number"] for row in page["results"]]
    while page["next"]:
        page = seller.get(page["next"]).json()
        seen += [row["number"] for row in page["results"]]

    assert seen == numbers[::-1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "sold"),
        ("role", "owner"),
        ("due_before", "soon"),
        ("due_before", "2026-13-01"),
        ("deal", "x"),
        ("buyer", "x" * 64),
        ("colour", "red"),
    ],
)
def test_wrong_filters_are_refused(seller: ApiClient, name: str, value: str) -> None:
    answer = seller.get(f"{INVOICES}?{name}={value}")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] == name
