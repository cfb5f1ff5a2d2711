"""Deals, their items, bids and timeline in the back office."""

from collections.abc import Iterable
from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest
from unfold.enums import ActionVariant

from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin, RecordInline
from apps.common.admin.filters import MadeFilter, newest
from apps.common.admin.history import HistoryAdmin
from apps.common.admin.panels import LONGEST_TIMELINE, Panel, timeline
from apps.common.admin.shown import list_of, moment, money, related, state
from apps.common.money import display
from apps.deals.admin.bids import bids_on
from apps.deals.admin.invoices import document_of
from apps.deals.enums import DealStatus
from apps.deals.models import Deal, DealHistory, DealItem
from apps.deals.services import deals as services


class ItemInline(RecordInline):
    model = DealItem
    fields = readonly_fields = ("id", "name", "amount")
    show_change_link = False

    @admin.display(description="price")
    def amount(self, item: DealItem) -> str:
        return display(item.price, item.deal.currency)


def _is_available(deal: Deal) -> bool:
    return deal.status == DealStatus.AVAILABLE


@admin.register(Deal)
class DealAdmin(BaseModelAdmin):
    list_display = (
        "name",
        state("status"),
        related("seller"),
        money("total_price"),
        money("final_price"),
        money("best_bid"),
        moment("auction_ends_at", "auction ends"),
        moment("updated_at", "changed"),
    )
    list_filter = (newest("status", DealStatus.choices), MadeFilter)
    list_select_related = ("seller",)
    search_ids = ("pk", "seller_id")
    search_accounts = ("seller",)
    search_help_text = "A whole id, of the deal or its seller, or the start of the seller's slug."
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "status_label"),
                    ("seller", "invoice_document"),
                    ("price", "discount", "discounted"),
                )
            },
        ),
        (
            "Bids",
            {
                "fields": (
                    ("best", "leading_bid_id"),
                    ("accepted_at_once_from", "rejected_at_once_below"),
                ),
                "classes": ("tab",),
            },
        ),
        (
            "Auction",
            {
                "fields": (
                    ("auction_ends_at", "auction_extension_seconds"),
                    ("minimum", "increment"),
                    ("reserve", "buy_now"),
                ),
                "classes": ("tab",),
            },
        ),
        (
            "Record",
            {"fields": (("id", "version"), ("created_at", "updated_at")), "classes": ("tab",)},
        ),
    )
    readonly_fields = (
        "status_label",
        "invoice_document",
        "price",
        "discount",
        "discounted",
        "best",
        "accepted_at_once_from",
        "rejected_at_once_below",
        "minimum",
        "increment",
        "reserve",
        "buy_now",
    )
    inlines = (ItemInline,)

    def subject_of(self, row: Deal) -> UUID:
        return row.pk

    def get_panels(self, request: HttpRequest, row: Deal) -> Iterable[Panel]:
        yield bids_on(row)
        entries = row.history.order_by("-id")[:LONGEST_TIMELINE]
        yield timeline(entries, list_of(DealHistory, f"q={row.pk}"))

    @admin.display(description="total price")
    def price(self, deal: Deal) -> str:
        return display(deal.total_price, deal.currency)

    @admin.display(description="discount")
    def discount(self, deal: Deal) -> str:
        if not deal.discount_type:
            return "none"
        if deal.discount_type == "percentage":
            return f"{deal.discount_amount} %"
        return display(deal.discount_amount, deal.currency)

    @admin.display(description="final price")
    def discounted(self, deal: Deal) -> str:
        return display(deal.final_price, deal.currency)

    @admin.display(description="best bid")
    def best(self, deal: Deal) -> str:
        return _amount(deal, deal.best_bid)

    @admin.display
    def accepted_at_once_from(self, deal: Deal) -> str:
        return _amount(deal, deal.auto_accept_at)

    @admin.display
    def rejected_at_once_below(self, deal: Deal) -> str:
        return _amount(deal, deal.auto_reject_below)

    @admin.display
    def minimum(self, deal: Deal) -> str:
        return _amount(deal, deal.auction_minimum)

    @admin.display
    def increment(self, deal: Deal) -> str:
        return _amount(deal, deal.auction_increment)

    @admin.display
    def reserve(self, deal: Deal) -> str:
        return _amount(deal, deal.auction_reserve)

    @admin.display(description="price of buying now")
    def buy_now(self, deal: Deal) -> str:
        return _amount(deal, deal.auction_buy_now)

    @admin.display(description="invoice")
    def invoice_document(self, deal: Deal) -> str:
        return document_of(deal)

    @Action(
        "Sold elsewhere",
        "It is recorded as sold: its open bids are rejected, and no invoice is issued here.",
        icon="sell",
        when=_is_available,
    )
    def mark_sold(self, deal: Deal, actor: Actor) -> str:
        return _close(deal, actor, DealStatus.SOLD)

    @Action(
        "Withdraw",
        "Its buyers see it no more as available, and its open bids are rejected. That cannot be undone.",
        icon="cancel",
        variant=ActionVariant.DANGER,
        when=_is_available,
    )
    def withdraw(self, deal: Deal, actor: Actor) -> str:
        return _close(deal, actor, DealStatus.WITHDRAWN)


def _close(deal: Deal, actor: Actor, status: DealStatus) -> str:
    services.edit_deal(
        seller_id=deal.seller_id, deal_id=deal.pk, changes={"status": status}, actor=actor
    )
    return f"{deal} is {status}."


def _amount(deal: Deal, amount: int | None) -> str:
    return "none" if amount is None else display(amount, deal.currency)


@admin.register(DealItem)
class DealItemAdmin(BaseModelAdmin):
    list_display = ("name", "amount", related("deal"))
    list_select_related = ("deal",)
    search_ids = ("pk", "deal_id")
    search_help_text = "A whole id: of the item or its deal."

    @admin.display(description="price")
    def amount(self, item: DealItem) -> str:
        return display(item.price, item.deal.currency)


@admin.register(DealHistory)
class DealHistoryAdmin(HistoryAdmin):
    list_display = HistoryAdmin.columns(related("deal"))
    list_select_related = ("deal",)
    search_ids = ("pk", "deal_id")
    search_help_text = "A whole id: of the entry or its deal."
