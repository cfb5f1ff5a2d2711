"""Invoices and credit notes as PDF. What draws them is loaded when the first is asked for: ReportLab and
two fonts are 17 MB in every process, and most never make one (docs/adr/0034)."""

from importlib import import_module

from apps.deals.models import CreditNote, Invoice

MEDIA_TYPE = "application/pdf"


def document_pdf(document: Invoice | CreditNote) -> bytes:
    """The one or the other, by what it is given."""
    return _drawn("document_pdf", document)


def preview_pdf(invoice: Invoice) -> bytes:
    """An invoice that is not issued and has no number: every page says so."""
    return _drawn("preview_pdf", invoice)


def name_of(details: dict[str, str]) -> str:
    """What a party is called on paper."""
    return details["legal_name"] or details["name"]


def _drawn(function: str, document: Invoice | CreditNote) -> bytes:
    drawn: bytes = getattr(import_module("apps.deals.pdf"), function)(document)
    return drawn
