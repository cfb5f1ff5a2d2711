"""Orders with their lines and their history."""

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common.ids import uuid7
from apps.orders.enums import ErasureStage, OrderStatus
from apps.orders.models.catalogue import Product, Storefront


class Order(models.Model):
    """An order of a customer, with its stock reserved from the placing on.

    `reservation_expires_at` is set while the reservation has an end. A deleted order keeps its rows and
    its history; `restore_order` brings it back. References to what every order shares are not foreign
    keys of the database: docs/adr/0014 says why.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(
        Account, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    storefront = models.ForeignKey(
        Storefront, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    number = models.BigIntegerField(unique=True, help_text="For people; unique, with gaps.")
    external_id = models.CharField(max_length=100, null=True)
    customer_id = models.CharField(max_length=100, help_text="The caller's own id of the customer.")
    status = models.CharField(max_length=20, choices=OrderStatus.choices)
    currency = models.CharField(max_length=3)
    total = models.BigIntegerField()
    shipping_address: "models.JSONField[Any, Any]" = models.JSONField(null=True)
    metadata: "models.JSONField[Any, Any]" = models.JSONField(default=dict)
    tracking_company = models.CharField(max_length=100, null=True)
    tracking_number = models.CharField(max_length=200, null=True)
    tracking_link = models.CharField(max_length=2000, null=True)
    authorized = models.BigIntegerField(default=0, db_default=0, help_text="Sum of its payments.")
    captured = models.BigIntegerField(default=0, db_default=0, help_text="Sum of its payments.")
    refunded = models.BigIntegerField(default=0, db_default=0, help_text="Sum of its payments.")
    reservation_expires_at = models.DateTimeField(null=True)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["storefront", "external_id"],
                condition=Q(deleted_at=None, external_id__isnull=False),
                name="order_external_id",
            ),
            models.CheckConstraint(condition=Q(status__in=OrderStatus.values), name="order_status"),
            models.CheckConstraint(condition=Q(total__gte=0), name="order_total"),
            models.CheckConstraint(
                condition=Q(reservation_expires_at=None)
                | Q(status=OrderStatus.PENDING, deleted_at=None),
                name="order_reservation",
            ),
            models.CheckConstraint(
                condition=Q(authorized__gte=0, refunded__gte=0, refunded__lte=F("captured")),
                name="order_payments",
            ),
        ]
        # Lists are keyset pages by id of one account, each read by one index; deleted orders are not
        # in them.
        indexes = [
            models.Index(
                fields=["account", "-id"], name="order_account", condition=Q(deleted_at=None)
            ),
            models.Index(
                fields=["account", "status", "-id"],
                name="order_status",
                condition=Q(deleted_at=None),
            ),
            models.Index(
                fields=["account", "customer_id", "-id"],
                name="order_customer",
                condition=Q(deleted_at=None),
            ),
            # For the erasure of a customer, which deleted orders are no way around.
            models.Index(
                fields=["account", "customer_id", "-id"],
                name="order_customer_deleted",
                condition=Q(deleted_at__isnull=False),
            ),
            models.Index(
                fields=["storefront", "-id"], name="order_storefront", condition=Q(deleted_at=None)
            ),
            models.Index(
                fields=["storefront", "status", "-id"],
                name="order_storefront_status",
                condition=Q(deleted_at=None),
            ),
            models.Index(
                fields=["reservation_expires_at"],
                name="order_expiring",
                condition=Q(reservation_expires_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"order {self.number}"


class OrderLine(models.Model):
    """Some of one product in an order, at the price and under the name it had when it was ordered."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    order = models.ForeignKey(Order, models.PROTECT, related_name="lines", db_index=False)
    product = models.ForeignKey(
        Product, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    sku = models.CharField(max_length=100)
    name = models.CharField(max_length=200)
    quantity = models.PositiveIntegerField()
    shipped = models.PositiveIntegerField(default=0, db_default=0)
    returned = models.PositiveIntegerField(default=0, db_default=0)
    unit_price = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order", "product"], name="orderline_order_product"),
            models.CheckConstraint(condition=Q(quantity__gte=1), name="orderline_quantity"),
            models.CheckConstraint(condition=Q(unit_price__gte=0), name="orderline_price"),
            models.CheckConstraint(
                condition=Q(shipped__lte=F("quantity"), returned__lte=F("shipped")),
                name="orderline_shipped",
            ),
        ]
        indexes = [models.Index(fields=["product", "-order"], name="orderline_product")]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.sku}"

    @property
    def total(self) -> int:
        """In the order's currency, minor units."""
        return self.quantity * self.unit_price

    @property
    def unshipped(self) -> int:
        """What is still to be shipped; stock is reserved for it while the order holds some."""
        return self.quantity - self.shipped

    @property
    def out(self) -> int:
        """What was shipped and has not come back."""
        return self.shipped - self.returned


class OrderChange(models.Model):
    """A row of an order's history, written in the transaction of the change and kept with the order."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    order = models.ForeignKey(Order, models.PROTECT, related_name="history", db_index=False)
    version = models.PositiveIntegerField(help_text="The order's version after the change.")
    type = models.CharField(max_length=60, help_text="Of the event that told of it.")
    changes: "models.JSONField[Any, Any]" = models.JSONField(help_text="{field: [old, new]}")
    actor: "models.JSONField[Any, Any]" = models.JSONField()
    request_id = models.CharField(max_length=128, blank=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["order", "-id"], name="orderchange_order")]

    def __str__(self) -> str:
        return f"{self.type} at {self.at}"


class Erasure(models.Model):
    """A customer whose personal data is to go from the orders; `due_at` is empty when that is done.

    The row is kept for a while then: who is at work for longer than one transaction sees by it that an erasure
    has overtaken it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    customer_id = models.TextField()
    stage = models.CharField(
        max_length=20,
        choices=ErasureStage.choices,
        default=ErasureStage.ORDERS,
        db_default=ErasureStage.ORDERS.value,
    )
    after = models.UUIDField(help_text="The last order done; they are taken in the order of ids.")
    after_answer = models.TextField(
        blank=True, db_default="", help_text="The key of the last remembered answer looked at."
    )
    due_at = models.DateTimeField(null=True, db_default=Now())
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(
                fields=["due_at"], name="ordererasure_due", condition=Q(due_at__isnull=False)
            ),
            models.Index(fields=["account", "customer_id"], name="ordererasure_customer"),
        ]

    def __str__(self) -> str:
        return str(self.id)
