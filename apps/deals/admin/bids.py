"""Bids in the back office: read, and answered on behalf of the seller."""

from collections.abc import Callable

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.common.admin import BaseModelAdmin, RecordInline, actor_of
from apps.common.errors import DomainError
from apps.common.money import display
from apps.deals.models import Bid
from apps.deals.services import bids as services


class BidInline(RecordInline):
    model = Bid
    fields = readonly_fields = ("bidder", "stands_at", "status", "created_at", "updated_at")
    ordering = ("-id",)
    per_page = 20

    @admin.display(description="amount")
    def stands_at(self, bid: Bid) -> str:
        return display(bid.amount, bid.deal.currency)


@admin.register(Bid)
class BidAdmin(BaseModelAdmin):
    list_display = ("deal", "bidder", "stands_at", "status", "created_at", "updated_at")
    list_filter = ("status",)
    list_select_related = ("deal", "bidder")
    search_fields = ("bidder__slug__startswith",)
    search_ids = ("pk", "deal_id", "bidder_id")
    search_help_text = "A whole id, of the bid, its deal or bidder, or the start of a slug."
    actions = ("accept", "reject")

    @admin.display(description="amount")
    def stands_at(self, bid: Bid) -> str:
        return display(bid.amount, bid.deal.currency)

    @admin.action(description="Accept the chosen bids for the seller", permissions=["change"])
    def accept(self, request: HttpRequest, bids: "QuerySet[Bid]") -> None:
        self._answer(request, bids, services.accept_bid)

    @admin.action(description="Reject the chosen bids for the seller", permissions=["change"])
    def reject(self, request: HttpRequest, bids: "QuerySet[Bid]") -> None:
        self._answer(request, bids, services.reject_bid)

    def _answer(
        self, request: HttpRequest, bids: "QuerySet[Bid]", service: Callable[..., Bid]
    ) -> None:
        for bid in bids:
            try:
                answered = service(
                    seller_id=bid.deal.seller_id, bid_id=bid.pk, actor=actor_of(request)
                )
            except DomainError as error:
                self.message_user(request, f"{bid}: {error.detail}", messages.WARNING)
            else:
                self.message_user(request, f"{bid} is {answered.status}.", messages.SUCCESS)
