"""What becomes of an order: shipments, returns, payments."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.common.ids import uuid7
from apps.orders.enums import PaymentKind
from apps.orders.models.orders import Order, OrderLine


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
