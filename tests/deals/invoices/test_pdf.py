"""The document: read back as text, the same bytes each time, whatever the names are like."""

import io
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from apps.deals import pdf
from apps.deals.models import CreditNote, Invoice
from tests.deals.invoices.conftest import CREDIT_NOTES, INVOICES, Sale
from tests.support import ApiClient
from tests.support.problems import assert_problem

PDF = {"Accept": "application/pdf"}


def pages(content: bytes) -> list[str]:
    """The text of each page, its white space evened out."""
    return [" ".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(content)).pages]


def details(**fields: str) -> dict[str, str]:
    empty = dict.fromkeys(("name", "legal_name", "address", "email", "tax_id"), "")
    return {**empty, "name": "Somebody", **fields}


def invoice(**fields: Any) -> Invoice:
    lines = [{"description": "Twelve chairs", "items": ["Chair"], "amount": 9_000}]
    whole = {
        "number": 42,
        "currency": "EUR",
        "deal_id": UUID(int=1),
        "lines": lines,
        "subtotal": 9_000,
        "discount_amount": 0,
        "net_amount": 9_000,
        "tax_rate": Decimal("19.00"),
        "tax_amount": 1_710,
        "total": 10_710,
        "seller_details": details(),
        "buyer_details": details(),
        "issued_at": datetime(2026, 11, 21, 9, 30, tzinfo=UTC),
        "due_date": date(2026, 12, 5),
    }
    return Invoice(**{**whole, **fields})


@pytest.mark.django_db
def test_it_has_all_that_an_invoice_needs(buyer: ApiClient, sale: Sale) -> None:
    invoice = sale(
        9_000,
        name="Zwölf Stühle",
        total_price=10_000,
        discount={"type": "percentage", "amount": 10},
        items=[{"name": "Стул", "price": 1}, {"name": "<b>Table</b> & Co", "price": 2}],
    )

    answer = buyer.get(f"{INVOICES}/{invoice['id']}", headers=PDF)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["Content-Disposition"] == 'inline; filename="invoice-1.pdf"'
    (text,) = pages(answer.content)
    for expected in (
        "Invoice",
        "Nordlicht Möbelwerk GmbH",
        "10117 Berlin",
        "Tax ID: DE123456789",
        "billing@nordlicht.example",
        "Παπαδόπουλος & Υιοί",
        "Λεωφόρος Κηφισίας 44",
        "Tax ID: EL094259216",
        invoice["issued_at"][:10],
        invoice["due_date"],
        invoice["deal"],
        "Zwölf Stühle",
        "Стул",
        "<b>Table</b> & Co",
        "100.00 EUR",
        "Discount 10 %",
        "-10.00 EUR",
        "90.00 EUR",
        "Tax 19 %",
        "17.10 EUR",
        "107.10 EUR",
        "Page 1 of 1",
    ):
        assert expected in text


@pytest.mark.django_db
def test_it_is_the_same_whatever_became_of_the_invoice(seller: ApiClient, sale: Sale) -> None:
    path = f"{INVOICES}/{sale()['id']}"
    first = seller.get(path, headers=PDF).content

    seller.post(f"{path}/void", {})

    assert seller.get(path, headers=PDF).content == first
    assert PdfReader(io.BytesIO(first)).metadata["/Title"] == "Invoice 1"  # type: ignore[index]


@pytest.mark.django_db
def test_a_credit_note_names_the_invoice(seller: ApiClient, buyer: ApiClient, sale: Sale) -> None:
    invoice = sale()
    note = seller.post(f"{INVOICES}/{invoice['id']}/void", {"reason": "Bruch"}).json()
    path = f"{CREDIT_NOTES}/{note['credit_note']['id']}"

    answer = buyer.get(path, headers=PDF)

    (text,) = pages(answer.content)
    for expected in (
        "Credit note",
        "invoice 1 of",
        "Reason: Bruch",
        "Total credited",
        "107.10 EUR",
    ):
        assert expected in text
    again = buyer.get(path, headers={**PDF, "If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html, */*;q=0.1", "application/json"),
        ("application/pdf", "application/pdf"),
        ("application/pdf;q=0.9", "application/pdf"),
        ("text/html, application/pdf;q=0.5", "application/pdf"),
    ],
)
def test_accept_decides(seller: ApiClient, sale: Sale, accept: str, answered: str) -> None:
    path = f"{INVOICES}/{sale()['id']}"

    answer = seller.get(path, headers={"Accept": accept} if accept else {})

    assert answer.headers["Content-Type"] == answered
    assert "Accept" in answer.headers["Vary"]


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["text/html", "image/png", "application/xml, text/csv"])
def test_what_it_cannot_be_is_refused(seller: ApiClient, sale: Sale, accept: str) -> None:
    answer = seller.get(f"{INVOICES}/{sale()['id']}", headers={"Accept": accept})

    assert_problem(answer, 406, "not_acceptable")


def test_hundreds_of_items_go_over_pages_each_of_which_says_where_it_is() -> None:
    items = [f"Item {n}, with a name that is long enough for two lines " * 2 for n in range(500)]
    lines = [{"description": "A warehouse", "items": items, "amount": 9_000}]

    read = pages(pdf.invoice_pdf(invoice(lines=lines)))

    assert len(read) > 10
    for number, text in enumerate(read, 1):
        assert f"Page {number} of {len(read)}" in text
        assert "Invoice 42" in text
        assert "Net amount" in text  # the head of the table, on each page of it
    for n in range(500):
        assert any(f"Item {n}, with" in text for text in read)
    assert "107.10 EUR" in read[-1]


def test_what_the_font_lacks_shows_as_missing() -> None:
    (text,) = pages(pdf.invoice_pdf(invoice(buyer_details=details(name="株式会社 Acme 😀"))))

    assert "���� Acme �" in text


def test_amounts_have_the_decimals_of_their_currency() -> None:
    for currency, shown in (("JPY", "10,710 JPY"), ("KWD", "10.710 KWD"), ("EUR", "107.10 EUR")):
        (text,) = pages(pdf.invoice_pdf(invoice(currency=currency)))
        assert shown in text


def test_threads_do_not_disturb_each_other() -> None:
    made = [
        invoice(number=n, buyer_details=details(name=chr(0xC0 + n % 22) * 9)) for n in range(1, 61)
    ]
    alone = [pdf.invoice_pdf(one) for one in made]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads change places in the middle of everything
    try:
        with ThreadPoolExecutor(8) as threads:
            together = list(threads.map(pdf.invoice_pdf, made))
    finally:
        sys.setswitchinterval(interval)

    assert together == alone


def test_a_preview_says_so() -> None:
    (text,) = pages(pdf.preview_pdf(invoice(number=None)))

    assert "PREVIEW" in text
    assert "None" not in text


anything = st.text(max_size=200)


@pytest.mark.parametrize("examples", [6, pytest.param(40, marks=pytest.mark.slow)])
def test_no_name_whatever_is_too_much_for_it(examples: int) -> None:
    @settings(max_examples=examples)
    @given(
        seller=st.fixed_dictionaries(
            {"name": anything, "legal_name": anything, "address": st.text(max_size=2000)}
        ),
        buyer=st.fixed_dictionaries({"tax_id": anything, "email": anything}),
        description=anything,
        items=st.lists(anything, max_size=5),
        reason=st.text(max_size=500),
    )
    def check(
        seller: dict[str, str],
        buyer: dict[str, str],
        description: str,
        items: list[str],
        reason: str,
    ) -> None:
        lines = [{"description": description, "items": items, "amount": 9_000}]
        made = invoice(
            seller_details=details(**seller), buyer_details=details(**buyer), lines=lines
        )
        note = CreditNote(invoice=made, number=1, reason=reason, issued_at=made.issued_at)

        assert pdf.invoice_pdf(made) == pdf.invoice_pdf(made)
        assert pages(pdf.credit_note_pdf(note))

    check()


@pytest.mark.parametrize("text", ["W" * 2000, "a\n" * 1000, "x " * 1000, "<para>&amp;<br/>", "\n"])
def test_addresses_of_any_shape_fit(text: str) -> None:
    long = details(name="W" * 200, address=text, tax_id="W" * 50, email="w" * 254)

    assert pages(pdf.invoice_pdf(invoice(seller_details=long, buyer_details=long)))


def test_an_address_of_many_lines_is_not_cut() -> None:
    lines = [f"line {n}" for n in range(100)]

    read = pages(pdf.invoice_pdf(invoice(seller_details=details(address="\n".join(lines)))))

    assert len(read) == 1
    for line in lines:
        assert line in read[0]
