"""A sale: a seller with an address and a tax rate, a buyer with an e-mail address, a bid accepted."""

from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from tests.deals.support import AUTHORIZATIONS, Deals, place, step
from tests.support import ApiClient
from tests.support.mailbox import Mailbox, mail_server

INVOICES = "/api/v1/invoices"
CREDIT_NOTES = "/api/v1/credit-notes"

SELLER = {
    "legal_name": "Nordlicht Möbelwerk GmbH",
    "address": "Unter den Linden 5\n10117 Berlin",
    "email": "billing@nordlicht.example",
    "tax_id": "DE123456789",
    "tax_rate": 19,
}
BUYER = {
    "legal_name": "Παπαδόπουλος & Υιοί",
    "address": "Λεωφόρος Κηφισίας 44\n151 25 Μαρούσι",
    "email": "logistirio@papadopoulos.example",
    "tax_id": "EL094259216",
}


class Sale(Protocol):
    def __call__(self, amount: int = ..., **fields: Any) -> dict[str, Any]: ...


@pytest.fixture
def seller(api: Any, make_account: Any) -> ApiClient:
    scopes = ("deals:write", "events:read", "accounts:write")
    return api(*scopes, account=make_account("the-seller", **SELLER))  # type: ignore[no-any-return]


@pytest.fixture
def buyer(api: Any, make_account: Any) -> ApiClient:
    scopes = ("deals:write", "bids:write", "events:read", "accounts:write")
    return api(*scopes, account=make_account("the-buyer", **BUYER))  # type: ignore[no-any-return]


@pytest.fixture
def sale(seller: ApiClient, buyer: ApiClient, deals: Deals) -> Sale:
    """Sells deals to the buyer; returns the invoice as the seller reads it."""
    assert seller.post(AUTHORIZATIONS, {"buyer": buyer.account.slug}).status_code == 201

    def sell(amount: int = 9_000, **fields: Any) -> dict[str, Any]:
        deal = deals(**fields)
        step(seller, place(buyer, deal, amount), "accept")
        (invoice,) = seller.get(INVOICES, deal=deal["id"]).json()["results"]
        return dict(invoice)

    return sell


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as served:
        yield served
