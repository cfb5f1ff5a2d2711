"""The stock of products: counters, the ledger that they are the sums of, and their comparison."""

from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.common.ids import uuid7
from apps.orders.enums import MovementKind
from apps.orders.models.catalogue import Product
from apps.orders.models.orders import Order


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
