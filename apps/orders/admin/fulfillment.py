"""Parts of orders that went out or came back, and what was paid for them."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.common.admin import BaseModelAdmin, RecordInline
from apps.common.admin.filters import MadeFilter, newest
from apps.common.admin.shown import moment, related
from apps.common.money import display
from apps.orders.enums import PaymentKind
from apps.orders.models import Payment, Return, Shipment


class PartInline(RecordInline):
    """Shipments and returns: each with what is in it."""

    ordering = ("id",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).prefetch_related("items__line")

    @admin.display(description="items")
    def contents(self, part: Shipment | Return) -> str:
        return _contents(part)


class ShipmentInline(PartInline):
    model = Shipment
    fields = readonly_fields = (
        "created_at",
        "contents",
        "tracking_company",
        "tracking_number",
        "tracking_link",
    )


class ReturnInline(PartInline):
    model = Return
    fields = readonly_fields = ("created_at", "contents", "reason")


class PaymentInline(RecordInline):
    model = Payment
    fields = readonly_fields = ("created_at", "kind", "sum", "reference")
    ordering = ("id",)

    @admin.display(description="amount")
    def sum(self, payment: Payment) -> str:
        return display(payment.amount, payment.order.currency)


class PartAdmin(BaseModelAdmin):
    """Shipments and returns."""

    list_select_related = ("order",)
    search_ids = ("pk", "order_id")
    search_help_text = "A whole id: of the part or its order."
    readonly_fields = ("contents",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).prefetch_related("items__line")

    @admin.display(description="items")
    def contents(self, part: Shipment | Return) -> str:
        return _contents(part)


@admin.register(Shipment)
class ShipmentAdmin(PartAdmin):
    list_display = (
        moment("created_at", "shipped"),
        related("order"),
        "contents",
        "tracking_company",
        "tracking_number",
    )


@admin.register(Return)
class ReturnAdmin(PartAdmin):
    list_display = (moment("created_at", "returned"), related("order"), "contents", "reason")


@admin.register(Payment)
class PaymentAdmin(BaseModelAdmin):
    list_display = (moment("created_at", "when"), related("order"), "kind", "sum", "reference")
    list_filter = (newest("kind", PaymentKind.choices), MadeFilter)
    list_select_related = ("order",)
    search_ids = ("pk", "order_id")
    search_help_text = "A whole id: of the payment or its order."

    @admin.display(description="amount")
    def sum(self, payment: Payment) -> str:
        return display(payment.amount, payment.order.currency)


def _contents(part: Shipment | Return) -> str:
    """For people: `2 of MUG, 1 of TEA, written off`."""
    return ", ".join(str(item) for item in part.items.all())
