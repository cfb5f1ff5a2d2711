"""What is sold and where: storefronts, products, sheets of products."""

from typing import Any

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Func, Q
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common.ids import uuid7


class Storefront(models.Model):
    """A place that orders come from: a web shop, a marketplace, a till."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    code = models.CharField(max_length=63, help_text="What orders name it by; it stays.")
    name = models.CharField(max_length=200)
    currency = models.CharField(max_length=3)
    reservation_minutes = models.PositiveIntegerField(
        null=True, blank=True, help_text="How long a pending order holds stock; empty = for ever."
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "code"], name="storefront_account_code")
        ]
        indexes = [models.Index(fields=["account", "-id"], name="storefront_account")]

    def __str__(self) -> str:
        return self.code


class Product(models.Model):
    """Something that is sold, with its present price. Orders copy price and name."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    sku = models.CharField(max_length=100, help_text="What orders name it by; it stays.")
    name = models.CharField(max_length=200)
    price = models.BigIntegerField(help_text="In the currency's minor unit.")
    currency = models.CharField(max_length=3)
    is_active = models.BooleanField(default=True, help_text="Whether it can be ordered.")
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "sku"], name="product_account_sku"),
            models.CheckConstraint(condition=Q(price__gte=0), name="product_price"),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="product_account"),
            # For the back office, which looks into all accounts.
            models.Index(fields=["sku"], opclasses=["varchar_pattern_ops"], name="product_sku"),
            GinIndex(
                Func("account_id", "sku", "name", function="orders_product_words"),
                name="product_words",
            ),
        ]

    def __str__(self) -> str:
        return self.sku


class ProductImport(models.Model):
    """A sheet of products, uploaded in the back office to be looked at before it is brought in; kept for
    a week."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    name = models.CharField(max_length=200, help_text="Of the file.")
    content = models.BinaryField()
    report: "models.JSONField[Any, Any]" = models.JSONField(
        help_text="What it would do; once it is in, what it did."
    )
    uploaded_by: "models.JSONField[Any, Any]" = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())
    committed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name
