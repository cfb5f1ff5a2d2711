"""Deals with their items and history."""

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common.ids import uuid7
from apps.common.money import MAX_AMOUNT
from apps.deals.auctions import Auction
from apps.deals.enums import CLOSED, DealStatus, DiscountType
from apps.deals.pricing import PERCENT, Discount

# `apps.deals.pricing.final_price`, in the database's words.
_PRICED = (
    Q(discount_type="", discount_amount=0, final_price=F("total_price"))
    | Q(
        discount_type=DiscountType.FLAT,
        discount_amount__range=(0, F("total_price")),
        final_price=F("total_price") - F("discount_amount"),
    )
    | Q(
        discount_type=DiscountType.PERCENTAGE,
        discount_amount__range=(0, PERCENT),
        final_price=(F("total_price") * (PERCENT - F("discount_amount")) + PERCENT // 2) / PERCENT,
    )
)

# `apps.deals.auctions.Auction`: all of it or nothing.
_NO_AUCTION = Q(
    auction_ends_at=None,
    auction_minimum=None,
    auction_increment=None,
    auction_reserve=None,
    auction_buy_now=None,
    auction_extension_seconds=None,
)
_AUCTION = (
    Q(
        auction_ends_at__isnull=False,
        auction_minimum__gte=1,
        auction_increment__gte=1,
        auction_extension_seconds__isnull=False,
        auto_accept_at=None,
        auto_reject_below=None,
    )
    & (Q(auction_reserve=None) | Q(auction_reserve__gte=F("auction_minimum")))
    & (Q(auction_buy_now=None) | Q(auction_buy_now__gte=F("auction_minimum")))
)


class Deal(models.Model):
    """What a seller offers to the buyers it authorised. Amounts are in the currency's minor unit."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Without a constraint, whose check would lock the account for every deal (ADR 14, 36).
    seller = models.ForeignKey(
        Account, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    name = models.CharField(max_length=200)
    status = models.CharField(
        max_length=10, choices=DealStatus.choices, default=DealStatus.AVAILABLE
    )
    currency = models.CharField(max_length=3)
    total_price = models.BigIntegerField()
    discount_type = models.CharField(max_length=10, choices=DiscountType.choices, blank=True)
    discount_amount = models.BigIntegerField(default=0, help_text="Minor units, or percent.")
    final_price = models.BigIntegerField(help_text="After the discount.")
    auto_accept_at = models.BigIntegerField(
        null=True, help_text="A bid of this amount or more is accepted at once. The seller's alone."
    )
    auto_reject_below = models.BigIntegerField(
        null=True, help_text="A bid of less is rejected at once. The seller's alone."
    )
    auction_ends_at = models.DateTimeField(null=True, help_text="Null: no auction.")
    auction_minimum = models.BigIntegerField(null=True)
    auction_increment = models.BigIntegerField(null=True)
    auction_reserve = models.BigIntegerField(null=True, help_text="The seller's alone.")
    auction_buy_now = models.BigIntegerField(null=True)
    auction_extension_seconds = models.PositiveIntegerField(null=True)
    # What the active bids come to, written with every change of theirs.
    best_bid = models.BigIntegerField(null=True, help_text="Of the leading bid.")
    leading_bid_id = models.UUIDField(null=True, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    # Its items as they are shown; there when selectors or services hand a deal out.
    item_objects: list[dict[str, Any]]

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=[status.value for status in DealStatus]), name="deal_status"
            ),
            models.CheckConstraint(
                condition=Q(total_price__range=(0, MAX_AMOUNT)), name="deal_total_price"
            ),
            models.CheckConstraint(condition=_PRICED, name="deal_final_price"),
            models.CheckConstraint(
                condition=Q(auto_reject_below=None)
                | Q(auto_accept_at=None)
                | Q(auto_reject_below__lte=F("auto_accept_at")),
                name="deal_thresholds",
            ),
            models.CheckConstraint(condition=_NO_AUCTION | _AUCTION, name="deal_auction"),
            models.CheckConstraint(
                condition=Q(best_bid=None, leading_bid_id=None)
                | Q(best_bid__isnull=False, leading_bid_id__isnull=False),
                name="deal_best_bid",
            ),
        ]
        # Every list is of some sellers, newest first, by `deal_list`, which holds all that lists filter
        # by: a filter that little passes still reads no row in vain. The others go straight to it.
        indexes = [
            models.Index(
                fields=["seller", "-id"],
                include=["status", "currency", "final_price", "updated_at"],
                name="deal_list",
            ),
            models.Index(fields=["seller", "status", "-id"], name="deal_seller_status"),
            models.Index(fields=["seller", "final_price"], name="deal_seller_price"),
            models.Index(fields=["seller", "updated_at"], name="deal_seller_updated"),
            # Of all sellers, for the back office.
            models.Index(
                fields=["-id"], name="deal_available", condition=Q(status=DealStatus.AVAILABLE)
            ),
            models.Index(
                fields=["auction_ends_at"],
                name="deal_auction_ends",
                condition=Q(status=DealStatus.AVAILABLE, auction_ends_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def discount(self) -> Discount | None:
        if not self.discount_type:
            return None
        return Discount(DiscountType(self.discount_type), self.discount_amount)

    @property
    def auction(self) -> Auction | None:
        if self.auction_ends_at is None:
            return None
        return Auction(**{name: getattr(self, f"auction_{name}") for name in Auction._fields})

    @auction.setter
    def auction(self, auction: Auction | None) -> None:
        for name in Auction._fields:
            setattr(self, f"auction_{name}", getattr(auction, name, None))

    @property
    def is_closed(self) -> bool:
        """Whether it is sold or withdrawn, and so can no longer be edited."""
        return self.status in CLOSED


class DealItem(models.Model):
    """A part of a deal; its price is for information and independent of the deal's total."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    deal = models.ForeignKey(Deal, models.CASCADE, related_name="items", db_index=False)
    position = models.PositiveSmallIntegerField(help_text="In the order in which items were sent.")
    name = models.CharField(max_length=200)
    price = models.BigIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [
            # Deferred: items that change places do so one row after the other.
            models.UniqueConstraint(
                fields=["deal", "position"],
                name="dealitem_deal_position",
                deferrable=models.Deferrable.DEFERRED,
            ),
            models.CheckConstraint(
                condition=Q(price__range=(0, MAX_AMOUNT)), name="dealitem_price"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class DealHistory(models.Model):
    """One change of a deal, written with it and kept as long as the deal."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    deal = models.ForeignKey(Deal, models.CASCADE, related_name="history", db_index=False)
    type = models.CharField(max_length=60, help_text="The event of the change.")
    actor: "models.JSONField[Any, Any]" = models.JSONField()
    request_id = models.CharField(max_length=128, blank=True, db_default="")
    changes: "models.JSONField[Any, Any]" = models.JSONField(help_text='{"field": [old, new]}')
    at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "deal history"
        indexes = [models.Index(fields=["deal", "id"], name="dealhistory_deal")]

    def __str__(self) -> str:
        return f"{self.type} {self.at:%Y-%m-%d %H:%M}"
