"""What can become of an invoice: paid, overdue, taken back; each once."""

from functools import partial
from typing import Any

import pytest

from apps.common import clock
from apps.common.clock import rfc3339
from apps.deals.models import CreditNote, Invoice
from tests.deals.invoices.conftest import CREDIT_NOTES, INVOICES, Sale
from tests.deals.support import faults, published, refused, types
from tests.support import ApiClient, concurrently

pytestmark = pytest.mark.django_db


def act(client: ApiClient, invoice: dict[str, Any], verb: str, **body: Any) -> Any:
    return client.post(f"{INVOICES}/{invoice['id']}/{verb}", body)


def test_it_is_paid_once(seller: ApiClient, buyer: ApiClient, sale: Sale) -> None:
    invoice = sale()

    paid = act(seller, invoice, "mark-paid", reference="SEPA 0815")

    assert paid.status_code == 200
    after = paid.json()
    assert (after["status"], after["payment_reference"]) == ("paid", "SEPA 0815")
    assert (after["version"], after["paid_at"] is not None) == (2, True)
    assert paid.headers["ETag"] == '"2"'
    assert buyer.get(f"{INVOICES}/{invoice['id']}").json() == after
    for verb in ("mark-paid", "void"):
        assert refused(act(seller, invoice, verb), 409, "invoice_closed")
    assert types(invoice["id"]) == ["invoice.issued", "invoice.paid"]
    changes = published(invoice["id"])[1]["data"]["changes"]
    assert changes["status"] == ["issued", "paid"]
    assert Invoice.objects.get().remind_at is None


def test_the_seller_may_say_when_it_was_paid(seller: ApiClient, sale: Sale) -> None:
    invoice = sale()

    paid = act(seller, invoice, "mark-paid", paid_at="2026-01-02T03:04:05+01:00")

    assert paid.json()["paid_at"] == "2026-01-02T02:04:05.000000Z"


def test_nobody_pays_in_the_future(seller: ApiClient, sale: Sale) -> None:
    invoice = sale()

    answer = act(seller, invoice, "mark-paid", paid_at="2999-01-01T00:00:00Z")

    assert faults(answer) == {"/paid_at": "in_the_future"}
    assert seller.get(f"{INVOICES}/{invoice['id']}").json() == invoice


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"reference": "x" * 201}, "/reference"),
        ({"reference": 1}, "/reference"),
        ({"paid_at": "yesterday"}, "/paid_at"),
        ({"paid_at": None}, "/paid_at"),
        ({"amount": 1}, "/amount"),
    ],
)
def test_wrong_payments_are_refused(
    seller: ApiClient, sale: Sale, body: dict[str, Any], pointer: str
) -> None:
    assert pointer in faults(act(seller, sale(), "mark-paid", **body))


def test_a_retry_of_a_payment_is_answered_alike(seller: ApiClient, sale: Sale) -> None:
    path = f"{INVOICES}/{sale()['id']}/mark-paid"

    first, again = (seller.post(path, {}, idempotency_key="pay-1") for _ in range(2))

    assert first.content == again.content
    assert again.headers["Idempotent-Replayed"] == "true"


def test_void_takes_all_of_it_back_by_a_credit_note(
    seller: ApiClient, buyer: ApiClient, sale: Sale
) -> None:
    sale()
    invoice = sale(9_001)

    after = act(seller, invoice, "void", reason="Delivered damaged.").json()

    assert (after["status"], after["voided_at"] is not None) == ("void", True)
    note = after["credit_note"]
    assert note["number"] == 1  # by a series of its own
    read = buyer.get(f"{CREDIT_NOTES}/{note['id']}").json()
    assert (read["invoice"], read["invoice_number"]) == (invoice["id"], 2)
    assert read["reason"] == "Delivered damaged."
    for name in ("lines", "net_amount", "tax_amount", "total", "seller_details"):
        assert read[name] == invoice[name]
    for client in (seller, buyer):
        assert client.get(CREDIT_NOTES).json()["results"] == [read]
    assert types(invoice["id"]) == ["invoice.issued", "invoice.voided"]
    for verb in ("mark-paid", "void"):
        assert refused(act(seller, invoice, verb), 409, "invoice_closed")
    assert CreditNote.objects.count() == 1


def decide(client: ApiClient, invoice: dict[str, Any], n: int) -> Any:
    return act(client, invoice, "void" if n % 2 else "mark-paid")


@pytest.mark.django_db(transaction=True)
def test_of_many_who_decide_at_once_one_does(seller: ApiClient, sale: Sale) -> None:
    for _ in range(3):
        invoice = sale()

        answers = concurrently(8, partial(decide, seller, invoice))

        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
        assert len(types(invoice["id"])) == 2


def test_tags_are_of_the_state_and_the_representation(seller: ApiClient, sale: Sale) -> None:
    invoice = sale()
    path = f"{INVOICES}/{invoice['id']}"
    tags = {
        accept: seller.get(path, headers={"Accept": accept}).headers["ETag"]
        for accept in ("application/json", "application/pdf")
    }

    for accept, tag in tags.items():
        headers = {"Accept": accept, "If-None-Match": tag}
        assert seller.get(path, headers=headers).status_code == 304
    assert len(set(tags.values())) == 2
    act(seller, invoice, "mark-paid")
    headers = {"If-None-Match": tags["application/json"]}
    assert seller.get(path, headers=headers).status_code == 200


def test_a_payment_of_just_now_is_not_in_the_future(seller: ApiClient, sale: Sale) -> None:
    invoice = sale()

    paid = act(seller, invoice, "mark-paid", paid_at=rfc3339(clock.now()))

    assert paid.status_code == 200
