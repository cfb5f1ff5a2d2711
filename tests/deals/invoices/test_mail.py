"""What the buyer is mailed: the invoice, reminders when it is overdue, a credit note; each once."""

import io
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.db.models.functions import Now
from pypdf import PdfReader

from apps.accounts.models import Account
from apps.common.leases import claim
from apps.common.models import Message
from apps.deals.models import Invoice, InvoiceHistory, InvoiceMail
from apps.deals.services import invoice_mail, invoices
from apps.events.models import Event
from tests.deals.invoices.conftest import INVOICES, Sale
from tests.deals.support import types
from tests.support import ApiClient, concurrently, run_jobs
from tests.support.mailbox import Mailbox

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = "logistirio@papadopoulos.example"


def overdue(**invoice: Any) -> None:
    """The next reminder's time has come."""
    assert Invoice.objects.filter(**invoice).update(remind_at=Now() - timedelta(seconds=1))


def mailed(invoice: dict[str, Any]) -> list[str]:
    entries = InvoiceHistory.objects.filter(invoice=invoice["id"], type__startswith="mail.")
    return list(entries.order_by("id").values_list("type", flat=True))


def test_the_invoice_arrives_with_its_pdf(buyer: ApiClient, sale: Sale, mailbox: Mailbox) -> None:
    invoice = sale()

    run_jobs()
    run_jobs()

    (mail,) = mailbox.arrived
    assert mail["to"] == ADDRESS
    assert mail["subject"] == "Invoice 1 of Nordlicht Möbelwerk GmbH"
    body = mail.get_body()
    assert body is not None
    for expected in ("107.10 EUR", invoice["due_date"], "billing@nordlicht.example"):
        assert expected in body.get_content()
    (file,) = mail.iter_attachments()
    assert (file.get_filename(), file.get_content_type()) == ("invoice-1.pdf", "application/pdf")
    read = buyer.get(f"{INVOICES}/{invoice['id']}", headers={"Accept": "application/pdf"})
    assert file.get_content() == read.content
    assert mailed(invoice) == ["mail.invoice"]


def test_a_buyer_without_an_address_is_not_mailed(
    buyer: ApiClient, sale: Sale, mailbox: Mailbox
) -> None:
    Account.objects.filter(pk=buyer.account.id).update(email="")

    invoice = sale()
    run_jobs()

    assert mailbox.arrived == []
    assert mailed(invoice) == []
    assert not InvoiceMail.objects.exists()


def test_a_sale_that_failed_mails_nothing(seller: ApiClient, sale: Sale) -> None:
    sale()
    (owed,) = InvoiceMail.objects.all()

    assert str(owed.invoice_id) == seller.get(INVOICES).json()["results"][0]["id"]
    assert not Message.objects.exists()  # the PDF is not made within the sale


def test_reminders_come_a_week_apart_three_in_all(sale: Sale, mailbox: Mailbox) -> None:
    invoice = sale()
    run_jobs()

    for number in (1, 2, 3):
        overdue()
        run_jobs()
        run_jobs()
        row = Invoice.objects.get()
        assert (row.status, row.reminders) == ("overdue", number)
        if number < 3:
            gap = Invoice.objects.annotate(gap=F("remind_at") - Now()).get().gap
            assert timedelta(days=6, hours=23) < gap <= timedelta(days=7)

    assert row.remind_at is None
    subjects = [mail["subject"].strip() for mail in mailbox.arrived]  # a long one is folded
    due = invoice["due_date"]
    reminder = f"Reminder: invoice 1 of Nordlicht Möbelwerk GmbH was due on {due}"
    assert subjects == ["Invoice 1 of Nordlicht Möbelwerk GmbH", *[reminder] * 3]
    assert types(invoice["id"]) == ["invoice.issued", "invoice.overdue"]
    assert mailed(invoice) == ["mail.invoice", *["mail.reminder"] * 3]


def test_after_a_long_downtime_there_is_one_reminder_not_three(
    sale: Sale, mailbox: Mailbox
) -> None:
    sale()
    run_jobs()
    Invoice.objects.update(remind_at=Now() - timedelta(days=60))

    for _ in range(3):
        run_jobs()

    assert len(mailbox.arrived) == 2
    assert Invoice.objects.get().reminders == 1


def test_an_invoice_that_is_not_due_is_left_alone(sale: Sale) -> None:
    invoice = sale()

    run_jobs()

    assert Invoice.objects.get().status == "issued"
    assert types(invoice["id"]) == ["invoice.issued"]


def test_workers_at_once_remind_once(sale: Sale) -> None:
    issued = [sale() for _ in range(6)]
    overdue()

    reminded = concurrently(6, lambda n: invoices.remind())

    assert sum(reminded) == 6
    assert InvoiceMail.objects.filter(kind="reminder").count() == 6
    for invoice in issued:
        assert types(invoice["id"]) == ["invoice.issued", "invoice.overdue"]
    concurrently(6, lambda n: invoice_mail.write_some())
    assert Message.objects.count() == 12
    assert not InvoiceMail.objects.exists()
    assert Message.objects.values("subject").distinct().count() == 12


@pytest.mark.parametrize("verb", ["mark-paid", "void"])
def test_what_is_paid_or_void_is_not_reminded_of(
    seller: ApiClient, sale: Sale, mailbox: Mailbox, verb: str
) -> None:
    """Not even when the reminder was owed already, and not yet written."""
    invoice = sale()
    run_jobs()
    overdue()
    assert invoices.remind() == 1

    answer = seller.post(f"{INVOICES}/{invoice['id']}/{verb}", {})
    run_jobs()

    assert answer.json()["status"] in ("paid", "void")
    assert "mail.reminder" not in mailed(invoice)
    assert not InvoiceMail.objects.exists()


def test_an_overdue_invoice_can_be_paid(seller: ApiClient, sale: Sale) -> None:
    invoice = sale()
    overdue()
    invoices.remind()

    answer = seller.post(f"{INVOICES}/{invoice['id']}/mark-paid", {})

    assert answer.json()["status"] == "paid"
    assert types(invoice["id"]) == ["invoice.issued", "invoice.overdue", "invoice.paid"]


def test_a_credit_note_is_mailed(seller: ApiClient, sale: Sale, mailbox: Mailbox) -> None:
    invoice = sale()
    run_jobs()

    seller.post(f"{INVOICES}/{invoice['id']}/void", {"reason": "Bruch"})
    run_jobs()

    mail = mailbox.arrived[1]
    assert mail["subject"] == "Credit note 1 of Nordlicht Möbelwerk GmbH"
    body = mail.get_body()
    assert body is not None
    assert "Bruch" in body.get_content()
    (file,) = mail.iter_attachments()
    assert "Credit note" in PdfReader(io.BytesIO(file.get_content())).pages[0].extract_text()


def test_a_worker_that_lost_its_lease_owes_nothing(
    sale: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was slow; another has written the mail meanwhile."""
    sale()
    write = invoice_mail._LETTERS["invoice"]  # type: ignore[index]  # a str enum

    def overtaken(invoice: Invoice) -> Any:
        monkeypatch.setitem(invoice_mail._LETTERS, "invoice", write)  # type: ignore[misc]
        InvoiceMail.objects.update(lease_until=Now() - timedelta(seconds=1))
        assert not invoice_mail.write_some()
        return write(invoice)

    monkeypatch.setitem(invoice_mail._LETTERS, "invoice", overtaken)  # type: ignore[misc]
    invoice_mail.write_some()

    assert Message.objects.count() == 1


def test_a_mail_that_cannot_be_written_is_tried_again_and_stops_no_other(sale: Sale) -> None:
    broken, well = sale(), sale()
    with_bad_lines = Invoice.objects.get(pk=broken["id"])
    with_bad_lines.lines = []
    owed = InvoiceMail.objects.get(invoice=with_bad_lines)

    invoice_mail._write(_claimed(owed), with_bad_lines)
    invoice_mail.write_some()

    assert [mailed(one) for one in (broken, well)] == [[], ["mail.invoice"]]
    owed.refresh_from_db()
    assert owed.lease_id is None
    InvoiceMail.objects.update(due_at=Now())
    invoice_mail.write_some()
    assert mailed(broken) == ["mail.invoice"]


def _claimed(owed: InvoiceMail) -> InvoiceMail:
    (claimed,) = claim(InvoiceMail.objects.filter(pk=owed.pk), limit=1, lease_seconds=60)
    return claimed


def test_events_name_the_system_as_the_one_who_found_it_overdue(sale: Sale) -> None:
    sale()
    overdue()

    invoices.remind()

    event = Event.objects.get(type="invoice.overdue")
    assert event.actor["kind"] == "system"
