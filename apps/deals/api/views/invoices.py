"""Invoices and credit notes, as JSON and as PDF."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from apps.common.api.conditional import etag, not_modified
from apps.common.api.idempotency import idempotent
from apps.common.api.openapi import refusal
from apps.common.api.pagination import PageQuery, keyset_page
from apps.common.api.responses import Json
from apps.common.api.serializers import parse_body, parse_query
from apps.common.api.views import ApiView
from apps.common.schemas import Schema, page
from apps.deals import documents
from apps.deals.api.representations.invoices import (
    CREDIT_NOTE,
    INVOICE,
    full_credit_note_object,
    full_invoice_object,
)
from apps.deals.api.serializers.invoices import InvoicePaymentInput, InvoicesQuery, InvoiceVoidInput
from apps.deals.api.windows import window_of
from apps.deals.errors import CreditNoteNotFound, InvoiceClosed, InvoiceNotFound
from apps.deals.models import Invoice
from apps.deals.selectors import invoices as selectors
from apps.deals.services import invoices as services

_PAID = OpenApiExample(
    "By bank transfer", value={"reference": "SEPA 2026-11-23 0815"}, request_only=True
)
_DAMAGED = OpenApiExample("A return", value={"reason": "Delivered damaged."}, request_only=True)
_NOT_FOUND = InvoiceNotFound("There is no such invoice, or your account may not see it.")
_CLOSED = refusal("An invoice that is over", InvoiceClosed("The invoice is paid and stays so."))


class PdfRenderer(BaseRenderer):
    """Lets `Accept: application/pdf` be chosen; the views make the document themselves."""

    media_type = documents.MEDIA_TYPE
    format = "pdf"


class _DocumentView(ApiView):
    """A document that is answered as JSON, or as PDF by `Accept`."""

    scope = "deals"
    renderer_classes = (JSONRenderer, PdfRenderer)

    def wants_pdf(self, request: Request) -> bool:
        return bool(request.accepted_renderer.format == PdfRenderer.format)

    def tag(self, request: Request, version: int) -> str:
        """Of the representation that is asked for."""
        return etag(version, *([PdfRenderer.format] if self.wants_pdf(request) else []))


@extend_schema(tags=["Invoices"])
class InvoicesView(ApiView):
    """The invoices of an account."""

    scope = "deals"

    @extend_schema(
        operation_id="list_invoices",
        summary="List invoices",
        description=(
            "Those that the caller issued and those that were issued to it, newest first. A buyer keeps "
            "its invoices when the seller ends its authorization. Several filters must all fit."
        ),
        parameters=[InvoicesQuery],
        responses={200: page(INVOICE)},
    )
    def get(self, request: Request) -> HttpResponse:
        query = parse_query(InvoicesQuery, request)
        found = selectors.visible_invoices(
            self.principal.account_id, filters=query, window=window_of(query)
        )
        return keyset_page(request, found, full_invoice_object, query)


def _as_json_or_pdf(schema: Schema) -> dict[Any, Any]:
    return {(200, "application/json"): schema, (200, documents.MEDIA_TYPE): OpenApiTypes.BINARY}


@extend_schema(tags=["Invoices"])
class InvoiceView(_DocumentView):
    """One invoice."""

    not_found = _NOT_FOUND

    @extend_schema(
        operation_id="get_invoice",
        summary="Get an invoice",
        description=(
            "For its seller and its buyer. With `Accept: application/pdf` the document as it was "
            "issued, the same bytes whenever it is read; JSON tells its state too. Anything else that "
            "`Accept` asks for is 406."
        ),
        responses=_as_json_or_pdf(INVOICE),
    )
    def get(self, request: Request, invoice_id: UUID) -> HttpResponse:
        account_id = self.principal.account_id
        tag = self.tag(request, selectors.visible_version(account_id, invoice_id))
        if (unchanged := not_modified(request, tag)) is not None:
            return unchanged
        invoice = selectors.visible_invoice(account_id, invoice_id)
        if self.wants_pdf(request):
            return _file(f"invoice-{invoice.number}", documents.document_pdf(invoice), tag)
        return _answer(invoice)


@extend_schema(tags=["Invoices"])
class PaymentView(ApiView):
    """The payment of an invoice."""

    scope = "deals"
    not_found = _NOT_FOUND

    @extend_schema(
        operation_id="mark_invoice_paid",
        summary="Mark an invoice as paid",
        description=(
            "By the seller. No reminders follow. 409 `invoice_closed` when it is paid or void already."
        ),
        request=InvoicePaymentInput,
        examples=[_PAID, _CLOSED],
        responses={200: INVOICE},
    )
    @idempotent
    def post(self, request: Request, invoice_id: UUID) -> HttpResponse:
        body = parse_body(InvoicePaymentInput, request)
        invoice = services.mark_paid(
            seller_id=self.principal.account_id, invoice_id=invoice_id, actor=self.actor, **body
        )
        return _answer(invoice)


@extend_schema(tags=["Invoices"])
class VoidView(ApiView):
    """The taking back of an invoice."""

    scope = "deals"
    not_found = _NOT_FOUND

    @extend_schema(
        operation_id="void_invoice",
        summary="Void an invoice",
        description=(
            "By the seller: a credit note takes back the whole of it, with a number of its own, and is "
            "mailed to the buyer. The deal stays sold. 409 `invoice_closed` when the invoice is paid or "
            "void already."
        ),
        request=InvoiceVoidInput,
        examples=[_DAMAGED, _CLOSED],
        responses={200: INVOICE},
    )
    @idempotent
    def post(self, request: Request, invoice_id: UUID) -> HttpResponse:
        body = parse_body(InvoiceVoidInput, request)
        invoice = services.void(
            seller_id=self.principal.account_id, invoice_id=invoice_id, actor=self.actor, **body
        )
        return _answer(invoice)


@extend_schema(tags=["Invoices"])
class CreditNotesView(ApiView):
    """The credit notes of an account."""

    scope = "deals"

    @extend_schema(
        operation_id="list_credit_notes",
        summary="List credit notes",
        description="Those that the caller issued and those that were issued to it, newest first.",
        parameters=[PageQuery],
        responses={200: page(CREDIT_NOTE)},
    )
    def get(self, request: Request) -> HttpResponse:
        query = parse_query(PageQuery, request)
        found = selectors.visible_credit_notes(self.principal.account_id, window_of(query))
        return keyset_page(request, found, full_credit_note_object, query)


@extend_schema(tags=["Invoices"])
class CreditNoteView(_DocumentView):
    """One credit note."""

    not_found = CreditNoteNotFound("There is no such credit note, or your account may not see it.")

    @extend_schema(
        operation_id="get_credit_note",
        summary="Get a credit note",
        description=(
            "For its seller and its buyer; as PDF with `Accept: application/pdf`. It never changes."
        ),
        responses=_as_json_or_pdf(CREDIT_NOTE),
    )
    def get(self, request: Request, credit_note_id: UUID) -> HttpResponse:
        note = selectors.visible_credit_note(self.principal.account_id, credit_note_id)
        tag = self.tag(request, 1)
        if (unchanged := not_modified(request, tag)) is not None:
            return unchanged
        if self.wants_pdf(request):
            return _file(f"credit-note-{note.number}", documents.document_pdf(note), tag)
        return Json(full_credit_note_object(note), headers={"ETag": tag})


def _answer(invoice: Invoice) -> Json:
    return Json(full_invoice_object(invoice), headers={"ETag": etag(invoice.version)})


def _file(name: str, content: bytes, tag: str) -> HttpResponse:
    return HttpResponse(
        content,
        content_type=documents.MEDIA_TYPE,
        headers={"ETag": tag, "Content-Disposition": f'inline; filename="{name}.pdf"'},
    )
