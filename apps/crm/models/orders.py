"""Orders, as far as they are figures of their customers."""

from django.db import models
from django.db.models import Q

from apps.accounts.models import Account
from apps.crm.enums import MAX_EXTERNAL_ID


class OrderFold(models.Model):
    """An order as its latest event told it: what the figures of a customer are made of. `id` is the
    order's.

    Written over by a newer version alone, so an event that comes again counts once. Of an order whose
    customer was erased only the id is left, so that no later event brings it back.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    customer_id = models.CharField(
        max_length=MAX_EXTERNAL_ID, blank=True, help_text="The external_id of a customer, perhaps."
    )
    number = models.BigIntegerField(null=True)
    placed_at = models.DateTimeField(null=True)
    counts = models.BooleanField(help_text="Whether it is confirmed, shipped or completed.")
    spent = models.BigIntegerField(default=0, help_text="Its total less refunds, in minor units.")
    currency = models.CharField(max_length=3, blank=True)
    version = models.PositiveIntegerField(help_text="The order's, in that event.")
    is_erased = models.BooleanField(default=False)
    is_news = models.BooleanField(
        default=True, help_text="Whether its customer's figures may not have been looked at since."
    )

    class Meta:
        indexes = [
            models.Index(
                fields=["account", "customer_id"],
                name="orderfold_customer",
                condition=Q(is_erased=False),
            ),
            models.Index(fields=["id"], name="orderfold_news", condition=Q(is_news=True)),
        ]

    def __str__(self) -> str:
        return f"order {self.number}"
