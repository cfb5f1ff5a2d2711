"""Invoices and credit notes in the back office, each with its PDF; and what a deal's invoice would be."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.forms import ActionForm
from unfold.widgets import UnfoldAdminTextInputWidget

from apps.common.admin import BaseModelAdmin, RecordInline, actor_of
from apps.common.errors import DomainError
from apps.common.money import display
from apps.deals import pdf
from apps.deals.models import CreditNote, Deal, Invoice, InvoiceHistory, InvoiceMail
from apps.deals.selectors.deals import read_items
from apps.deals.services import invoices as services


class NoteForm(ActionForm):  # type: ignore[misc]  # unfold has no type hints
    """The action of the list, with what is noted of a payment or stands on a credit note."""

    note = forms.CharField(
        required=False,
        max_length=200,
        label="Payment reference, or reason:",
        widget=UnfoldAdminTextInputWidget,
    )


class HistoryInline(RecordInline):
    model = InvoiceHistory
    fields = readonly_fields = ("at", "type", "by", "changes")
    ordering = ("id",)
    verbose_name_plural = "timeline"
    show_change_link = False

    @admin.display(description="by")
    def by(self, entry: InvoiceHistory) -> str:
        return str(entry.actor["label"])


class DocumentAdmin(BaseModelAdmin):
    """Rows that are documents too."""

    readonly_fields = ("document",)

    def make_pdf(self, document: Any) -> bytes:
        """The document as a PDF; every page of a kind of document says how."""
        raise NotImplementedError

    def get_urls(self) -> list[URLPattern]:
        name = f"deals_{self.model._meta.model_name}_pdf"
        view = self.admin_site.admin_view(self.show_pdf)
        own: list[URLPattern] = [path("<uuid:pk>/pdf/", view, name=name)]
        return own + super().get_urls()

    def show_pdf(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        document = self.get_object(request, str(pk))
        if document is None:
            raise Http404
        if not self.has_view_permission(request, document):
            raise PermissionDenied
        return HttpResponse(self.make_pdf(document), content_type=pdf.MEDIA_TYPE)

    @admin.display(description="document")
    def document(self, row: Model) -> str:
        return _link(reverse(f"admin:deals_{row._meta.model_name}_pdf", args=[row.pk]), "PDF")


@admin.register(Invoice)
class InvoiceAdmin(DocumentAdmin):
    list_display = ("number", "seller", "buyer", "status", "amount", "issued_at", "due_date")
    list_filter = ("status",)
    list_select_related = ("seller", "buyer")
    search_fields = ("seller__slug__startswith", "buyer__slug__startswith")
    search_ids = ("pk", "seller_id", "buyer_id", "deal_id")
    search_help_text = "A whole id, of the invoice, an account or the deal, or the start of a slug."
    inlines = (HistoryInline,)
    action_form = NoteForm
    actions = ("mark_paid", "void")

    def make_pdf(self, document: Invoice) -> bytes:
        return pdf.invoice_pdf(document)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.show_preview)
        own: list[URLPattern] = [
            path("preview/<uuid:deal_id>/", view, name="deals_invoice_preview")
        ]
        return own + super().get_urls()

    def show_preview(self, request: HttpRequest, deal_id: UUID) -> HttpResponse:
        """The invoice of a deal that is not sold yet."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        deal = Deal.objects.select_related("seller").filter(pk=deal_id).first()
        if deal is None:
            raise Http404
        read_items(deal)
        return HttpResponse(pdf.preview_pdf(services.preview(deal)), content_type=pdf.MEDIA_TYPE)

    @admin.display(description="total")
    def amount(self, invoice: Invoice) -> str:
        return display(invoice.total, invoice.currency)

    @admin.action(description="Mark the chosen invoices as paid", permissions=["change"])
    def mark_paid(self, request: HttpRequest, chosen: "QuerySet[Invoice]") -> None:
        def pay(invoice: Invoice, note: str) -> Invoice:
            return services.mark_paid(
                seller_id=invoice.seller_id,
                invoice_id=invoice.pk,
                reference=note,
                actor=actor_of(request),
            )

        self._each(request, chosen, pay)

    @admin.action(description="Void the chosen invoices by credit notes", permissions=["change"])
    def void(self, request: HttpRequest, chosen: "QuerySet[Invoice]") -> None:
        def take_back(invoice: Invoice, note: str) -> Invoice:
            return services.void(
                seller_id=invoice.seller_id,
                invoice_id=invoice.pk,
                reason=note,
                actor=actor_of(request),
            )

        self._each(request, chosen, take_back)

    def _each(
        self,
        request: HttpRequest,
        chosen: "QuerySet[Invoice]",
        act: Callable[[Invoice, str], Invoice],
    ) -> None:
        """Do it to each of the chosen invoices, and say what came of it."""
        note = request.POST.get("note", "").strip()  # NoteForm has let it pass
        for invoice in chosen:
            try:
                changed = act(invoice, note)
            except DomainError as error:
                self.message_user(request, f"{invoice}: {error.detail}", messages.WARNING)
            else:
                self.message_user(request, f"{changed} is {changed.status}.", messages.SUCCESS)


@admin.register(CreditNote)
class CreditNoteAdmin(DocumentAdmin):
    list_display = ("number", "seller", "buyer", "invoice", "reason", "issued_at")
    list_select_related = ("seller", "buyer", "invoice")
    search_fields = ("seller__slug__startswith", "buyer__slug__startswith")
    search_ids = ("pk", "seller_id", "buyer_id", "invoice_id")
    search_help_text = "A whole id, of the note, an account or the invoice, or the start of a slug."

    def make_pdf(self, document: CreditNote) -> bytes:
        return pdf.credit_note_pdf(document)


@admin.register(InvoiceMail)
class InvoiceMailAdmin(BaseModelAdmin):
    """What is still to be written; what was is among the messages of `common`."""

    list_display = ("invoice", "kind", "due_at", "claims")
    list_filter = ("kind",)
    list_select_related = ("invoice",)
    search_ids = ("pk", "invoice_id")
    search_help_text = "A whole id: of the mail or its invoice."


def document_of(deal: Deal) -> str:
    """A link to the deal's invoice, or to a preview of what it would be while the deal is available."""
    invoice = Invoice.objects.filter(deal=deal).first()
    if invoice is not None:
        url = reverse("admin:deals_invoice_change", args=[invoice.pk])
        return _link(url, str(invoice))
    if deal.is_closed:
        return "none"
    return _link(reverse("admin:deals_invoice_preview", args=[deal.pk]), "Preview (PDF)")


def _link(url: str, text: str) -> str:
    return format_html('<a href="{}">{}</a>', url, text)
