"""Storefronts, products with their stock and its ledger, orders with their lines and history."""

from typing import Any
from uuid import UUID

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common.ids import uuid7
from apps.orders.enums import MovementKind, OrderStatus, PaymentKind


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


class Stock(models.Model):
    """The counters of a product: the fold of its ledger, kept beside it for every order to decide by.

    Every order updates them, so no counter is indexed and the pages are half empty: then an update stays
    on its page and touches no index (HOT), but for the few that make stock low or enough again.
    """

    product = models.OneToOneField(Product, models.PROTECT, primary_key=True)
    on_hand = models.BigIntegerField(default=0, help_text="On the shelf, reserved or not.")
    reserved = models.BigIntegerField(default=0, help_text="Held for orders not yet shipped.")
    low_stock_threshold = models.BigIntegerField(
        null=True,
        help_text="At this much available or less, product.stock_low is told; empty = off.",
    )
    is_low = models.BooleanField(
        default=False, editable=False, help_text="Whether it was told since stock last was enough."
    )

    class Meta:
        verbose_name_plural = "stock"
        constraints = [
            models.CheckConstraint(
                condition=Q(reserved__gte=0, reserved__lte=F("on_hand")), name="stock_reserved"
            ),
            models.CheckConstraint(
                condition=Q(low_stock_threshold=None) | Q(low_stock_threshold__gte=0),
                name="stock_threshold",
            ),
        ]
        indexes = [
            models.Index(fields=["product"], name="stock_low", condition=Q(is_low=True)),
        ]

    def __str__(self) -> str:
        return f"{self.available} of {self.on_hand}"

    @property
    def available(self) -> int:
        """What can still be ordered."""
        return self.on_hand - self.reserved


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


class Shipment(models.Model):
    """A parcel, or several under one number: some of an order's items on their way."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    order = models.ForeignKey(Order, models.PROTECT, related_name="shipments", db_index=False)
    tracking_company = models.CharField(max_length=100, null=True)
    tracking_number = models.CharField(max_length=200, null=True)
    tracking_link = models.CharField(max_length=2000, null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["order", "-id"], name="shipment_order")]

    def __str__(self) -> str:
        return f"shipment of {self.created_at}"


class ShipmentItem(models.Model):
    """How much of a line is in a shipment."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    shipment = models.ForeignKey(Shipment, models.PROTECT, related_name="items", db_index=False)
    line = models.ForeignKey(OrderLine, models.PROTECT, related_name="+")
    quantity = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["shipment", "line"], name="shipmentitem_line"),
            models.CheckConstraint(condition=Q(quantity__gte=1), name="shipmentitem_quantity"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.line.sku}"


class Return(models.Model):
    """Items of an order that came back together."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    order = models.ForeignKey(Order, models.PROTECT, related_name="returns", db_index=False)
    reason = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["order", "-id"], name="return_order")]

    def __str__(self) -> str:
        return f"return of {self.created_at}"


class ReturnItem(models.Model):
    """How much of a line came back, and whether it can be sold again."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    returned_in = models.ForeignKey(Return, models.PROTECT, related_name="items", db_index=False)
    line = models.ForeignKey(OrderLine, models.PROTECT, related_name="+")
    quantity = models.PositiveIntegerField()
    restock = models.BooleanField(help_text="Back into stock; if not, it was written off.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["returned_in", "line", "restock"], name="returnitem_line"
            ),
            models.CheckConstraint(condition=Q(quantity__gte=1), name="returnitem_quantity"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.line.sku}" + ("" if self.restock else ", written off")


class Payment(models.Model):
    """What a payment service said about an order: recorded here, processed elsewhere."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    order = models.ForeignKey(Order, models.PROTECT, related_name="payments", db_index=False)
    kind = models.CharField(max_length=20, choices=PaymentKind.choices)
    amount = models.BigIntegerField(help_text="In the order's currency, minor units.")
    reference = models.CharField(max_length=200, help_text="The payment service's own.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["order", "kind", "reference"], name="payment_reference"
            ),
            models.CheckConstraint(condition=Q(amount__gte=1), name="payment_amount"),
            models.CheckConstraint(condition=Q(kind__in=PaymentKind.values), name="payment_kind"),
        ]
        indexes = [models.Index(fields=["order", "-id"], name="payment_order")]

    def __str__(self) -> str:
        return f"{self.kind} {self.reference}"


def _moves(kind: MovementKind, **changes: Any) -> Q:
    """The condition that a movement of `kind` changes the counters as `changes` say."""
    return Q(kind=kind) & Q(**changes)


class StockMovement(models.Model):
    """One entry of the ledger: by how much it changed each counter, and why. Never updated or deleted
    (a trigger refuses it); the counters in Stock are its sums."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    product = models.ForeignKey(
        Product, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    order = models.ForeignKey(
        Order, models.PROTECT, related_name="movements", null=True, db_index=False
    )
    kind = models.CharField(max_length=20, choices=MovementKind.choices)
    on_hand = models.BigIntegerField(help_text="Change of what is on the shelf.")
    reserved = models.BigIntegerField(help_text="Change of what is held for orders.")
    reason = models.CharField(max_length=200, blank=True)
    actor: "models.JSONField[Any, Any]" = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=_moves(MovementKind.RECEIVED, on_hand__gt=0, reserved=0, order=None)
                # With an order: a return that was written off.
                | _moves(MovementKind.ADJUSTED, reserved=0) & ~Q(on_hand=0)
                | _moves(MovementKind.RESERVED, on_hand=0, reserved__gt=0, order__isnull=False)
                | _moves(MovementKind.RELEASED, on_hand=0, reserved__lt=0, order__isnull=False)
                | _moves(
                    MovementKind.SHIPPED,
                    on_hand__lt=0,
                    reserved=F("on_hand"),
                    order__isnull=False,
                )
                | _moves(MovementKind.RETURNED, on_hand__gt=0, reserved=0, order__isnull=False),
                name="movement_kind",
            )
        ]
        indexes = [
            # Covers the fold that the reconcile job makes, and lists a product's ledger.
            models.Index(
                fields=["product", "-id"], include=["on_hand", "reserved"], name="movement_product"
            ),
            models.Index(fields=["order"], name="movement_order", condition=Q(order__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.on_hand:+}/{self.reserved:+}"


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
    """A customer whose personal data is to go from the orders; the row goes when that is done."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    customer_id = models.TextField()
    after = models.UUIDField(help_text="The last order done; they are taken in the order of ids.")
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return str(self.id)


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


class StockCheck(models.Model):
    """How far the comparison of counters and ledger has come; one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    after = models.UUIDField(default=UUID(int=0), help_text="The last product compared.")
    ended_at = models.DateTimeField(null=True, help_text="When it last had seen all products.")

    def __str__(self) -> str:
        return f"after {self.after}"


class StockDrift(models.Model):
    """A product whose counters were not the sums of its ledger when they were last compared."""

    product = models.OneToOneField(Product, models.PROTECT, primary_key=True, related_name="+")
    on_hand = models.BigIntegerField()
    reserved = models.BigIntegerField()
    ledger_on_hand = models.BigIntegerField()
    ledger_reserved = models.BigIntegerField()
    found_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.product_id}"
