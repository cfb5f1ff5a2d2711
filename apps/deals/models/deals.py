"""Deals with their items and history."""

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common.ids import uuid7
from apps.common.money import MAX_AMOUNT
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


class Deal(models.Model):
    """What a seller offers to the buyers it authorised. Amounts are in the currency's minor unit."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    seller = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    name = models.CharField(max_length=200)
    status = models.CharField(
        max_length=10, choices=DealStatus.choices, default=DealStatus.AVAILABLE
    )
    currency = models.CharField(max_length=3)
    total_price = models.BigIntegerField()
    discount_type = models.CharField(max_length=10, choices=DiscountType.choices, blank=True)
    discount_amount = models.BigIntegerField(default=0, help_text="Minor units, or percent.")
    final_price = models.BigIntegerField(help_text="After the discount.")
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
        ]
        # Every list is of some sellers, newest first; the others serve its filters.
        indexes = [
            models.Index(fields=["seller", "-id"], name="deal_seller"),
            models.Index(fields=["seller", "status", "-id"], name="deal_seller_status"),
            models.Index(fields=["seller", "final_price"], name="deal_seller_price"),
            models.Index(fields=["seller", "updated_at"], name="deal_seller_updated"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def discount(self) -> Discount | None:
        if not self.discount_type:
            return None
        return Discount(DiscountType(self.discount_type), self.discount_amount)

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
    changes: "models.JSONField[Any, Any]" = models.JSONField(help_text='{"field": [old, new]}')
    at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "deal history"
        indexes = [models.Index(fields=["deal", "id"], name="dealhistory_deal")]

    def __str__(self) -> str:
        return f"{self.type} {self.at:%Y-%m-%d %H:%M}"
