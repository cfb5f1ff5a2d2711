"""Bids in the back office: read, and answered on behalf of the seller."""

from decimal import Decimal
from uuid import UUID

from django import forms
from django.contrib import admin
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminDecimalFieldWidget

from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin
from apps.common.admin.filters import MadeFilter, newest
from apps.common.admin.panels import Panel, shown_actor
from apps.common.admin.shown import age, label, link, list_of, moment, page_of, related, state
from apps.common.errors import Invalid
from apps.common.money import display, minor
from apps.deals.enums import OPEN, BidStatus
from apps.deals.models import Bid, Deal
from apps.deals.services import bids as services

NEWEST_BIDS = 20


def bids_on(deal: Deal) -> Panel:
    """The newest bids on a deal."""
    bids = deal.bids.select_related("bidder").order_by("-id")[:NEWEST_BIDS]
    rows = [
        (
            link(page_of(bid), display(bid.amount, deal.currency)),
            bid.bidder,
            label(bid.status),
            "leads" if bid.pk == deal.leading_bid_id else "-",
            age(bid.updated_at),
        )
        for bid in bids
    ]
    headers = ("amount", "bidder", "state", "standing", "changed")
    return Panel("Bids", headers, rows, list_of(Bid, f"q={deal.pk}"), "Nobody has bid yet.")


class CounterForm(forms.Form):
    """For how much the seller would sell."""

    amount = forms.DecimalField(
        min_value=0,
        max_digits=17,
        help_text="In the deal's currency, with a point: 12.50",
        widget=UnfoldAdminDecimalFieldWidget,
    )


def _is_active(bid: Bid) -> bool:
    return bid.status == BidStatus.ACTIVE


@admin.register(Bid)
class BidAdmin(BaseModelAdmin):
    list_display = (
        "stands_at",
        state("status"),
        related("deal"),
        related("bidder"),
        moment("created_at", "placed"),
        moment("updated_at", "changed"),
    )
    list_filter = (newest("status", BidStatus.choices), MadeFilter)
    list_select_related = ("deal", "bidder")
    search_ids = ("pk", "deal_id", "bidder_id")
    search_accounts = ("bidder",)
    search_help_text = (
        "A whole id, of the bid, its deal or bidder, or the start of a bidder's slug."
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("stands_at", "status_label"),
                    ("deal", "bidder"),
                    ("counter", "expires_at"),
                )
            },
        ),
        (
            "Record",
            {
                "fields": (
                    ("id", "version"),
                    ("placed_by", "moved_by"),
                    ("supersedes",),
                    ("created_at", "updated_at"),
                )
            },
        ),
    )
    readonly_fields = ("status_label", "stands_at", "counter", "placed_by", "moved_by")

    def subject_of(self, row: Bid) -> UUID:
        return row.pk

    @admin.display(description="amount")
    def stands_at(self, bid: Bid) -> str:
        return display(bid.amount, bid.deal.currency)

    @admin.display(description="the seller's counter")
    def counter(self, bid: Bid) -> str:
        amount = bid.counter_amount
        return "none" if amount is None else display(amount, bid.deal.currency)

    @admin.display
    def placed_by(self, bid: Bid) -> str:
        return shown_actor(bid.actor)

    @admin.display
    def moved_by(self, bid: Bid) -> str:
        return shown_actor(bid.decided_by or {})

    @Action(
        "Accept",
        "The deal is sold to this bid, its other bids are rejected, and the invoice is issued and mailed.",
        icon="check_circle",
        variant=ActionVariant.PRIMARY,
        when=_is_active,
    )
    def accept(self, bid: Bid, actor: Actor) -> str:
        services.accept_bid(seller_id=bid.deal.seller_id, bid_id=bid.pk, actor=actor)
        return f"The bid on {bid.deal} is accepted, and the deal is sold."

    @Action(
        "Reject",
        "The bidder is told; it may bid again.",
        icon="block",
        variant=ActionVariant.DANGER,
        when=lambda bid: bid.status in OPEN,
    )
    def reject(self, bid: Bid, actor: Actor) -> str:
        answered = services.reject_bid(seller_id=bid.deal.seller_id, bid_id=bid.pk, actor=actor)
        return f"The bid on {bid.deal} is {answered.status}."

    @Action(
        "Counter",
        "The bidder is told for how much the seller would sell; a bid of that or more is accepted at once.",
        icon="swap_horiz",
        form=CounterForm,
        when=_is_active,
    )
    def counter_bid(self, bid: Bid, actor: Actor, amount: Decimal) -> str:
        currency = bid.deal.currency
        try:
            asked = minor(amount, currency)
        except ValueError as error:
            raise Invalid(str(error)) from error
        services.counter_bid(seller_id=bid.deal.seller_id, bid_id=bid.pk, amount=asked, actor=actor)
        return f"The bid on {bid.deal} is countered with {display(asked, currency)}."
