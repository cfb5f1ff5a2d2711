"""Invoices in the back office: read, seen as PDF, paid and taken back by actions."""

import io

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from pypdf import PdfReader

from apps.accounts.models import User
from apps.deals.models import CreditNote, Invoice
from tests.deals.invoices.conftest import INVOICES, Sale
from tests.deals.support import DEALS, Deals, types
from tests.support import ApiClient
from tests.support.backoffice import act

pytestmark = pytest.mark.django_db

OFFICE = "/admin/deals"
INVOICE = "deals/invoice"


@pytest.fixture
def office(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


def text_of(content: bytes) -> str:
    return PdfReader(io.BytesIO(content)).pages[0].extract_text()


def test_pages_show_amounts_timeline_and_document(
    office: Client, seller: ApiClient, sale: Sale
) -> None:
    invoice = sale()
    seller.post(f"{INVOICES}/{invoice['id']}/void", {"reason": "Bruch"})
    note = CreditNote.objects.get()

    assert "107.10 EUR" in office.get(f"{OFFICE}/invoice/").content.decode()
    page = office.get(f"{OFFICE}/invoice/{invoice['id']}/change/").content.decode()
    assert "invoice.voided" in page
    assert f"{OFFICE}/invoice/{invoice['id']}/pdf/" in page
    assert "Bruch" in office.get(f"{OFFICE}/creditnote/").content.decode()
    assert office.get(f"{OFFICE}/creditnote/{note.pk}/change/").status_code == 200
    for model in ("invoice", "creditnote", "invoicemail"):
        for query in ("", "?q=the-seller", f"?q={invoice['id']}", "?q=%00"):
            assert office.get(f"{OFFICE}/{model}/{query}").status_code == 200
    for path, title in (
        (f"invoice/{invoice['id']}/pdf/", "Invoice"),
        (f"creditnote/{note.pk}/pdf/", "Credit note"),
    ):
        answer = office.get(f"{OFFICE}/{path}")
        assert answer.headers["Content-Type"] == "application/pdf"
        assert title in text_of(answer.content)


def test_actions_call_the_services(office: Client, sale: Sale) -> None:
    paid, void = sale(), sale()

    assert "Invoice 1 is paid." in act(office, INVOICE, "mark_paid", paid["id"], reference="SEPA 1")
    assert "Invoice 2 is void." in act(office, INVOICE, "void", void["id"], reason="Bruch")

    assert Invoice.objects.get(pk=paid["id"]).payment_reference == "SEPA 1"
    assert CreditNote.objects.get().reason == "Bruch"
    assert types(paid["id"]) == ["invoice.issued", "invoice.paid"]
    for action in ("mark_paid", "void"):
        assert "The invoice is paid and stays so." in act(office, INVOICE, action, paid["id"])


def test_a_note_that_is_too_long_does_nothing(office: Client, sale: Sale) -> None:
    invoice = sale()

    act(office, INVOICE, "mark_paid", invoice["id"], reference="x" * 201)

    assert Invoice.objects.get().status == "issued"


def test_a_deal_shows_a_preview_before_it_is_sold_and_its_invoice_after(
    office: Client, seller: ApiClient, sale: Sale, deals: Deals
) -> None:
    deal = deals(name="Twelve chairs", total_price=5_000)
    sold = sale()
    preview = f"{OFFICE}/invoice/preview/{deal['id']}/"

    assert preview in office.get(f"{OFFICE}/deal/{deal['id']}/change/").content.decode()
    answer = office.get(preview)
    assert "59.50 EUR" in text_of(answer.content)
    assert "PREVIEW" in text_of(answer.content)
    page = office.get(f"{OFFICE}/deal/{sold['deal']}/change/").content.decode()
    assert f"{OFFICE}/invoice/{sold['id']}/change/" in page
    seller.delete(f"{DEALS}/{deal['id']}")
    assert preview not in office.get(f"{OFFICE}/deal/{deal['id']}/change/").content.decode()
    assert Invoice.objects.count() == 1


def test_documents_are_for_those_who_may_view_invoices(sale: Sale, deals: Deals) -> None:
    invoice, deal = sale(), deals()
    paths = (
        f"{OFFICE}/invoice/{invoice['id']}/pdf/",
        f"{OFFICE}/invoice/preview/{deal['id']}/",
    )
    clerk = User.objects.create_user("clerk", is_staff=True)
    client = Client()

    for path in paths:
        assert client.get(path).status_code == 302
    client.force_login(clerk)
    for path in paths:
        assert client.get(path).status_code == 403
    clerk.user_permissions.add(Permission.objects.get(codename="view_invoice"))
    for path in paths:
        assert client.get(path).status_code == 200


def test_documents_that_are_not_there(office: Client) -> None:
    nothing = "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a11"
    for path in (
        f"invoice/{nothing}/pdf/",
        f"creditnote/{nothing}/pdf/",
        f"invoice/preview/{nothing}/",
    ):
        assert office.get(f"{OFFICE}/{path}").status_code == 404
