"""Bids on deals."""

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common.ids import uuid7
from apps.common.money import MAX_AMOUNT
from apps.deals.enums import OPEN, BidStatus
from apps.deals.models.deals import Deal

_IS_OPEN = Q(status__in=[status.value for status in OPEN])


class Bid(models.Model):
    """What a buyer would pay for a deal, in the minor unit of the deal's currency.

    A bidder has one open bid on a deal; a new one takes its place. Outside of auctions the three amounts
    are equal. Whoever changes bids holds the deal's lock.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    deal = models.ForeignKey(Deal, models.PROTECT, related_name="bids", db_index=False)
    bidder = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    status = models.CharField(max_length=10, choices=BidStatus.choices, default=BidStatus.ACTIVE)
    amount = models.BigIntegerField(help_text="What it stands at.")
    offered = models.BigIntegerField(help_text="What was put on the table at once.")
    maximum = models.BigIntegerField(help_text="What it may rise to. The bidder's alone.")
    counter_amount = models.BigIntegerField(
        null=True, help_text="For which the seller would sell to this bidder."
    )
    supersedes = models.ForeignKey(
        "self", models.PROTECT, null=True, related_name="+", db_index=False
    )
    expires_at = models.DateTimeField(null=True)
    version = models.PositiveIntegerField(default=1, editable=False)
    actor: "models.JSONField[Any, Any]" = models.JSONField(help_text="Who placed it.")
    decided_by: "models.JSONField[Any, Any]" = models.JSONField(
        null=True, help_text="Who moved it to its status."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=[status.value for status in BidStatus]), name="bid_status"
            ),
            models.CheckConstraint(
                condition=Q(offered__gte=1, offered__lte=F("amount"))
                & Q(amount__lte=F("maximum"), maximum__lte=MAX_AMOUNT),
                name="bid_amounts",
            ),
            models.CheckConstraint(
                condition=~Q(status=BidStatus.COUNTERED) | Q(counter_amount__gte=1),
                name="bid_counter",
            ),
            # The last guards: a deal has one winner, a bidder one open bid on a deal.
            models.UniqueConstraint(
                fields=["deal"], condition=Q(status=BidStatus.ACCEPTED), name="bid_one_winner"
            ),
            models.UniqueConstraint(
                fields=["deal", "bidder"], condition=_IS_OPEN, name="bid_one_of_each_bidder"
            ),
        ]
        indexes = [
            models.Index(fields=["deal", "-id"], name="bid_deal"),
            models.Index(fields=["deal", "bidder", "-id"], name="bid_deal_bidder"),
            models.Index(fields=["bidder", "-id"], name="bid_bidder"),
            models.Index(
                fields=["deal", "-maximum", "id"],
                name="bid_leading",
                condition=Q(status=BidStatus.ACTIVE),
            ),
            models.Index(
                fields=["expires_at"],
                name="bid_expires",
                condition=_IS_OPEN & Q(expires_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} by {self.bidder_id}"
