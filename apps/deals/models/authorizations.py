"""Which buyers a seller has authorised to see its deals."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common.ids import uuid7


class Authorization(models.Model):
    """While it stands, the buyer sees the seller's deals."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    seller = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    buyer = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["buyer", "seller"], name="authorization_buyer_seller"),
            models.CheckConstraint(
                condition=~Q(buyer=F("seller")), name="authorization_not_oneself"
            ),
        ]
        indexes = [
            models.Index(fields=["seller", "-id"], name="authorization_seller"),
            models.Index(fields=["buyer", "-id"], name="authorization_buyer"),
        ]

    def __str__(self) -> str:
        return f"{self.buyer_id} sees {self.seller_id}"
