"""Mails about invoices: owed with a change of an invoice, written with the PDF by the job
`deals.mail_invoices` outside of any transaction, and sent by `common.mail`."""

from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models.functions import Now

from apps.common import clock, mail
from apps.common.actor import system
from apps.common.leases import claim, settle
from apps.common.mail import Attachment
from apps.common.money import display
from apps.common.wakeups import wake_on_commit
from apps.deals import documents
from apps.deals.enums import InvoiceMailKind, InvoiceStatus
from apps.deals.models import Invoice, InvoiceHistory, InvoiceMail

MAIL = "deals.mail_invoices"
BATCH = 20
LEASE_SECONDS = 120.0
RETRY = timedelta(minutes=15)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Letter:
    subject: str
    text: str
    attachment: Attachment


def owe_mail(invoice: Invoice, kind: InvoiceMailKind) -> None:
    """Owe the buyer a mail, in the transaction of the change that it tells of."""
    InvoiceMail.objects.create(invoice=invoice, kind=kind, due_at=Now())
    wake_on_commit(MAIL)


def write_some() -> bool:
    """Write up to 20 mails that are owed; True when there may be more."""
    claimed = claim(InvoiceMail.objects.all(), limit=BATCH, lease_seconds=LEASE_SECONDS)
    invoices = Invoice.objects.select_related("buyer", "credit_note").in_bulk(
        [owed.invoice_id for owed in claimed]
    )
    for owed in claimed:
        _write(owed, invoices[owed.invoice_id])
    return len(claimed) == BATCH


def _write(owed: InvoiceMail, invoice: Invoice) -> None:
    """A mail that nobody needs any more is not written; one that cannot be is tried again later."""
    letter: _Letter | None = None
    if invoice.buyer.email and _is_wanted(owed, invoice):
        try:
            letter = _LETTERS[InvoiceMailKind(owed.kind)](invoice)
        except Exception:
            log.exception("invoice_mail_failed", invoice=str(invoice.pk), kind=owed.kind)
            _put_off(owed)
            return
    _hand_over(owed, invoice, letter)


def _is_wanted(owed: InvoiceMail, invoice: Invoice) -> bool:
    """A reminder is not, once the invoice has been paid or taken back."""
    return owed.kind != InvoiceMailKind.REMINDER or invoice.status == InvoiceStatus.OVERDUE


def _put_off(owed: InvoiceMail) -> None:
    if owed.lease_id is not None:
        settle(InvoiceMail, owed.pk, owed.lease_id, due_at=Now() + RETRY)


@transaction.atomic
def _hand_over(owed: InvoiceMail, invoice: Invoice, letter: _Letter | None) -> None:
    """The mail is owed to `common.mail` as this row goes; whoever lost its lease does neither."""
    gone, _ = InvoiceMail.objects.filter(pk=owed.pk, lease_id=owed.lease_id).delete()
    if not gone or letter is None:
        return
    mail.owe(
        to=invoice.buyer.email,
        subject=letter.subject,
        text=letter.text,
        attachments=[letter.attachment],
    )
    InvoiceHistory.objects.create(
        invoice=invoice,
        type=f"mail.{owed.kind}",
        actor=system(MAIL).as_json(),
        changes={},
        at=clock.now(),
    )


def _invoice_letter(invoice: Invoice) -> _Letter:
    seller, about = _names(invoice)
    text = (
        f"{seller} invoices you {_total(invoice)} for {_sold(invoice)}, due on {invoice.due_date}.\n\n"
        f"{about} is attached. Please state its number with your payment."
    )
    return _Letter(f"{about} of {seller}", _signed(text, invoice), _invoice_file(invoice))


def _reminder(invoice: Invoice) -> _Letter:
    seller, about = _names(invoice)
    text = (
        f"{_total(invoice)} for {_sold(invoice)} was due on {invoice.due_date}, and {seller} has not "
        f"recorded your payment yet.\n\n{about} is attached again. Please state its number with your "
        "payment. If you have paid meanwhile, there is nothing to do."
    )
    subject = f"Reminder: {about.lower()} of {seller} was due on {invoice.due_date}"
    return _Letter(subject, _signed(text, invoice), _invoice_file(invoice))


def _credit_note_letter(invoice: Invoice) -> _Letter:
    seller, about = _names(invoice)
    note = invoice.credit_note
    reason = f"Its reason: {note.reason}\n\n" if note.reason else ""
    text = (
        f"{seller} takes back {about.lower()} for {_sold(invoice)}: {_total(invoice)} need not be "
        f"paid.\n\n{reason}Credit note {note.number} is attached."
    )
    file = Attachment(
        f"credit-note-{note.number}.pdf", documents.MEDIA_TYPE, documents.document_pdf(note)
    )
    return _Letter(f"Credit note {note.number} of {seller}", _signed(text, invoice), file)


_LETTERS = {
    InvoiceMailKind.INVOICE: _invoice_letter,
    InvoiceMailKind.REMINDER: _reminder,
    InvoiceMailKind.CREDIT_NOTE: _credit_note_letter,
}


def _invoice_file(invoice: Invoice) -> Attachment:
    return Attachment(
        f"invoice-{invoice.number}.pdf", documents.MEDIA_TYPE, documents.document_pdf(invoice)
    )


def _names(invoice: Invoice) -> tuple[str, str]:
    return documents.name_of(invoice.seller_details), f"Invoice {invoice.number}"


def _total(invoice: Invoice) -> str:
    return display(invoice.total, invoice.currency)


def _sold(invoice: Invoice) -> str:
    return f"“{invoice.lines[0]['description']}”"


def _signed(text: str, invoice: Invoice) -> str:
    email = invoice.seller_details["email"]
    return f"{text}\n\nQuestions? Write to {email}.\n" if email else f"{text}\n"
