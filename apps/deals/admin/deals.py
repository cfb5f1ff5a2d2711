"""Deals, their items and timeline in the back office."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.common.admin import BaseModelAdmin, RecordInline, actor_of
from apps.common.money import display
from apps.deals.admin.bids import BidInline
from apps.deals.admin.invoices import document_of
from apps.deals.enums import DealStatus
from apps.deals.errors import DealClosed
from apps.deals.models import Deal, DealHistory, DealItem
from apps.deals.services import deals as services


class ItemInline(RecordInline):
    model = DealItem
    fields = readonly_fields = ("id", "name", "amount")
    show_change_link = False

    @admin.display(description="price")
    def amount(self, item: DealItem) -> str:
        return display(item.price, item.deal.currency)


class HistoryInline(RecordInline):
    model = DealHistory
    fields = readonly_fields = ("at", "type", "by", "changes")
    ordering = ("id",)
    verbose_name_plural = "timeline"
    show_change_link = False

    @admin.display(description="by")
    def by(self, entry: DealHistory) -> str:
        return str(entry.actor["label"])


@admin.register(Deal)
class DealAdmin(BaseModelAdmin):
    list_display = ("name", "seller", "status", "price", "discounted", "best", "updated_at")
    list_filter = ("status",)
    list_select_related = ("seller",)
    search_fields = ("seller__slug__startswith",)
    search_ids = ("pk", "seller_id")
    search_help_text = "A whole id, of the deal or its seller, or the start of the seller's slug."
    readonly_fields = ("invoice_document",)
    inlines = (ItemInline, BidInline, HistoryInline)
    actions = ("mark_sold", "withdraw")

    @admin.display(description="total price")
    def price(self, deal: Deal) -> str:
        return display(deal.total_price, deal.currency)

    @admin.display(description="final price")
    def discounted(self, deal: Deal) -> str:
        return display(deal.final_price, deal.currency)

    @admin.display(description="best bid")
    def best(self, deal: Deal) -> str:
        return "" if deal.best_bid is None else display(deal.best_bid, deal.currency)

    @admin.display(description="invoice")
    def invoice_document(self, deal: Deal) -> str:
        return document_of(deal)

    @admin.action(description="Mark the chosen deals as sold elsewhere", permissions=["change"])
    def mark_sold(self, request: HttpRequest, deals: "QuerySet[Deal]") -> None:
        self._close(request, deals, DealStatus.SOLD)

    @admin.action(description="Withdraw the chosen deals", permissions=["change"])
    def withdraw(self, request: HttpRequest, deals: "QuerySet[Deal]") -> None:
        self._close(request, deals, DealStatus.WITHDRAWN)

    def _close(self, request: HttpRequest, deals: "QuerySet[Deal]", status: DealStatus) -> None:
        for deal in deals:
            try:
                services.edit_deal(
                    seller_id=deal.seller_id,
                    deal_id=deal.id,
                    changes={"status": status},
                    actor=actor_of(request),
                )
            except DealClosed as error:
                self.message_user(request, f"{deal}: {error.detail}", messages.WARNING)
            else:
                self.message_user(request, f"{deal} is {status}.", messages.SUCCESS)


@admin.register(DealItem)
class DealItemAdmin(BaseModelAdmin):
    list_display = ("name", "price", "deal")
    list_select_related = ("deal",)
    search_ids = ("pk", "deal_id")
    search_help_text = "A whole id: of the item or its deal."


@admin.register(DealHistory)
class DealHistoryAdmin(BaseModelAdmin):
    list_display = ("at", "type", "deal", "by")
    list_select_related = ("deal",)
    search_ids = ("pk", "deal_id")
    search_help_text = "A whole id: of the entry or its deal."

    @admin.display(description="by")
    def by(self, entry: DealHistory) -> str:
        return str(entry.actor["label"])
