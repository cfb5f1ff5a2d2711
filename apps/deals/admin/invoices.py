"""Invoices and credit notes in the back office, each with its PDF; and what a deal's invoice would be."""

from collections.abc import Iterable
from typing import ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin
from apps.common.admin.filters import MadeFilter, newest
from apps.common.admin.history import HistoryAdmin
from apps.common.admin.panels import LONGEST_TIMELINE, Panel, timeline
from apps.common.admin.shown import link, list_of, moment, money, page_of, related, state
from apps.common.money import display
from apps.deals import documents
from apps.deals.enums import InvoiceStatus
from apps.deals.models import CreditNote, Deal, Invoice, InvoiceHistory, InvoiceMail
from apps.deals.selectors.deals import read_items
from apps.deals.services import invoices as services


class PaidForm(forms.Form):
    reference = forms.CharField(
        required=False,
        max_length=200,
        help_text="What is noted of the payment, for example its number at the bank.",
        widget=UnfoldAdminTextInputWidget,
    )


class CreditForm(forms.Form):
    reason = forms.CharField(
        required=False,
        max_length=500,
        help_text="It stands on the credit note.",
        widget=UnfoldAdminTextInputWidget,
    )


def _is_unpaid(invoice: Invoice) -> bool:
    return invoice.status in (InvoiceStatus.ISSUED, InvoiceStatus.OVERDUE)


class DocumentAdmin(BaseModelAdmin):
    """Rows that are documents too."""

    readonly_fields: ClassVar[tuple[str, ...]] = ("document",)

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
        return HttpResponse(documents.document_pdf(document), content_type=documents.MEDIA_TYPE)

    @admin.display(description="document")
    def document(self, row: Model) -> str:
        return link(reverse(f"admin:deals_{row._meta.model_name}_pdf", args=[row.pk]), "PDF")


@admin.register(Invoice)
class InvoiceAdmin(DocumentAdmin):
    list_display = (
        "number",
        state("status"),
        related("seller"),
        related("buyer"),
        money("total"),
        moment("issued_at"),
        "due_date",
    )
    list_filter = (newest("status", InvoiceStatus.choices), MadeFilter)
    list_select_related = ("seller", "buyer")
    search_ids = ("pk", "seller_id", "buyer_id", "deal_id")
    search_accounts = ("seller", "buyer")
    search_help_text = "A whole id, of the invoice, an account or the deal, or the start of a slug."
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("number", "status_label", "document"),
                    ("seller", "buyer"),
                    ("deal", "credit_note"),
                    ("issued_at", "due_date", "paid_at"),
                    ("payment_reference", "reminders", "remind_at"),
                )
            },
        ),
        ("Amounts", {"fields": (("net", "tax", "amount"), "lines"), "classes": ("tab",)}),
        ("Parties", {"fields": ("seller_details", "buyer_details"), "classes": ("tab",)}),
        (
            "Record",
            {"fields": (("id", "version"), ("updated_at", "voided_at")), "classes": ("tab",)},
        ),
    )
    readonly_fields = ("status_label", "document", "credit_note", "net", "tax", "amount")

    def subject_of(self, row: Invoice) -> UUID:
        return row.pk

    def get_panels(self, request: HttpRequest, row: Invoice) -> Iterable[Panel]:
        entries = row.history.order_by("-id")[:LONGEST_TIMELINE]
        yield timeline(entries, list_of(InvoiceHistory, f"q={row.pk}"))

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
        return HttpResponse(
            documents.preview_pdf(services.preview(deal)), content_type=documents.MEDIA_TYPE
        )

    @admin.display
    def credit_note(self, invoice: Invoice) -> str:
        note = CreditNote.objects.filter(invoice=invoice).first()
        return "none" if note is None else link(page_of(note), note)

    @admin.display
    def net(self, invoice: Invoice) -> str:
        return display(invoice.net_amount, invoice.currency)

    @admin.display
    def tax(self, invoice: Invoice) -> str:
        return f"{display(invoice.tax_amount, invoice.currency)} ({invoice.tax_rate} %)"

    @admin.display(description="total")
    def amount(self, invoice: Invoice) -> str:
        return display(invoice.total, invoice.currency)

    @Action(
        "Mark paid",
        "It is paid from now on, its reminders end, and both sides are told. That cannot be undone.",
        icon="paid",
        variant=ActionVariant.PRIMARY,
        form=PaidForm,
        when=_is_unpaid,
    )
    def mark_paid(self, invoice: Invoice, actor: Actor, reference: str) -> str:
        paid = services.mark_paid(
            seller_id=invoice.seller_id, invoice_id=invoice.pk, reference=reference, actor=actor
        )
        return f"{paid} is {paid.status}."

    @Action(
        "Credit",
        "A credit note takes back the whole of it, and is mailed to the buyer. That cannot be undone.",
        icon="assignment_return",
        variant=ActionVariant.DANGER,
        form=CreditForm,
        when=_is_unpaid,
    )
    def void(self, invoice: Invoice, actor: Actor, reason: str) -> str:
        voided = services.void(
            seller_id=invoice.seller_id, invoice_id=invoice.pk, reason=reason, actor=actor
        )
        return f"{voided} is {voided.status}."


@admin.register(CreditNote)
class CreditNoteAdmin(DocumentAdmin):
    list_display = (
        "number",
        related("seller"),
        related("buyer"),
        related("invoice"),
        "reason",
        moment("issued_at"),
    )
    list_filter = (MadeFilter,)
    list_select_related = ("seller", "buyer", "invoice")
    search_accounts = ("seller", "buyer")
    search_ids = ("pk", "seller_id", "buyer_id", "invoice_id")
    search_help_text = "A whole id, of the note, an account or the invoice, or the start of a slug."


@admin.register(InvoiceHistory)
class InvoiceHistoryAdmin(HistoryAdmin):
    list_display = HistoryAdmin.columns(related("invoice"))
    list_select_related = ("invoice",)
    search_ids = ("pk", "invoice_id")
    search_help_text = "A whole id: of the entry or its invoice."


@admin.register(InvoiceMail)
class InvoiceMailAdmin(BaseModelAdmin):
    """What is still to be written; what was is among the messages of `common`."""

    list_display = ("kind", related("invoice"), moment("due_at"), "claims")
    list_select_related = ("invoice",)
    search_ids = ("pk", "invoice_id")
    search_help_text = "A whole id: of the mail or its invoice."


def document_of(deal: Deal) -> str:
    """A link to the deal's invoice, or to a preview of what it would be while the deal is available."""
    invoice = Invoice.objects.filter(deal=deal).first()
    if invoice is not None:
        return link(page_of(invoice), invoice)
    if deal.is_closed:
        return "none"
    return link(reverse("admin:deals_invoice_preview", args=[deal.pk]), "Preview (PDF)")
