"""Orders with all that happened to them."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.common.admin import BaseModelAdmin, RecordInline, actor_of
from apps.common.money import display
from apps.orders.admin.acting import each
from apps.orders.enums import OrderStatus
from apps.orders.models import (
    Order,
    OrderChange,
    OrderLine,
    Payment,
    Return,
    Shipment,
    StockMovement,
)
from apps.orders.services import orders


class LineInline(RecordInline):
    model = OrderLine
    fields = readonly_fields = ("sku", "name", "quantity", "shipped", "returned", "price", "sum")
    ordering = ("id",)

    @admin.display(description="unit price")
    def price(self, line: OrderLine) -> str:
        return display(line.unit_price, line.order.currency)

    @admin.display(description="total")
    def sum(self, line: OrderLine) -> str:
        return display(line.total, line.order.currency)


class ChangeInline(RecordInline):
    model = OrderChange
    fields = readonly_fields = ("at", "type", "by", "changes")
    ordering = ("id",)
    verbose_name_plural = "timeline"
    show_change_link = False

    @admin.display(description="by")
    def by(self, change: OrderChange) -> str:
        return str(change.actor["label"])


class MovementInline(RecordInline):
    model = StockMovement
    fields = readonly_fields = ("created_at", "product", "kind", "on_hand", "reserved", "reason")
    ordering = ("id",)
    verbose_name_plural = "ledger"

    def get_queryset(self, request: HttpRequest) -> "QuerySet[StockMovement]":
        return super().get_queryset(request).select_related("product")


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


@admin.register(Order)
class OrderAdmin(BaseModelAdmin):
    list_display = (
        "number",
        "account",
        "storefront",
        "customer_id",
        "status",
        "amount",
        "created_at",
        "deleted_at",
    )
    list_filter = ("status", ("deleted_at", admin.EmptyFieldListFilter))
    list_select_related = ("account", "storefront")
    search_ids = ("pk", "account_id", "storefront_id")
    search_help_text = "A number, or a whole id: of the order, its account or its storefront."
    inlines = (
        LineInline,
        ShipmentInline,
        ReturnInline,
        PaymentInline,
        ChangeInline,
        MovementInline,
    )
    actions = ("confirm", "ship", "complete", "cancel", "take_back", "restore")

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> "tuple[QuerySet[Any], bool]":
        term = search_term.strip()
        if term.isascii() and term.isdigit() and len(term) <= 18:
            return queryset.filter(number=int(term)), False
        return super().get_search_results(request, queryset, search_term)

    @admin.display(description="total")
    def amount(self, order: Order) -> str:
        return display(order.total, order.currency)

    @admin.action(description="Confirm the chosen orders", permissions=["change"])
    def confirm(self, request: HttpRequest, chosen: "QuerySet[Order]") -> None:
        self._take(request, chosen, OrderStatus.CONFIRMED)

    @admin.action(description="Ship the chosen orders", permissions=["change"])
    def ship(self, request: HttpRequest, chosen: "QuerySet[Order]") -> None:
        self._take(request, chosen, OrderStatus.SHIPPED)

    @admin.action(description="Complete the chosen orders", permissions=["change"])
    def complete(self, request: HttpRequest, chosen: "QuerySet[Order]") -> None:
        self._take(request, chosen, OrderStatus.COMPLETED)

    @admin.action(description="Cancel the chosen orders", permissions=["change"])
    def cancel(self, request: HttpRequest, chosen: "QuerySet[Order]") -> None:
        self._take(request, chosen, OrderStatus.CANCELED)

    @admin.action(description="Take the chosen orders back into stock", permissions=["change"])
    def take_back(self, request: HttpRequest, chosen: "QuerySet[Order]") -> None:
        self._take(request, chosen, OrderStatus.RETURNED)

    @admin.action(description="Restore the chosen orders, deleted before", permissions=["change"])
    def restore(self, request: HttpRequest, chosen: "QuerySet[Order]") -> None:
        def restore(order: Order) -> str:
            orders.restore_order(order_id=order.pk, actor=actor_of(request))
            return f"{order} is back."

        each(self, request, chosen, restore)

    def _take(self, request: HttpRequest, chosen: "QuerySet[Order]", status: OrderStatus) -> None:
        def change(order: Order) -> str:
            orders.change_order(
                account_id=order.account_id,
                order_id=order.pk,
                changes={"status": status},
                actor=actor_of(request),
            )
            return f"{order} is {status.value}."

        each(self, request, chosen, change)


@admin.register(OrderLine)
class OrderLineAdmin(BaseModelAdmin):
    list_display = ("sku", "name", "quantity", "unit_price", "order")
    list_select_related = ("order",)
    search_ids = ("pk", "order_id", "product_id")
    search_help_text = "A whole id: of the line, its order or its product."


@admin.register(OrderChange)
class OrderChangeAdmin(BaseModelAdmin):
    list_display = ("at", "type", "order", "by")
    list_select_related = ("order",)
    search_ids = ("pk", "order_id")
    search_help_text = "A whole id: of the change or its order."

    @admin.display(description="by")
    def by(self, change: OrderChange) -> str:
        return str(change.actor["label"])


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
    list_display = ("created_at", "order", "contents", "tracking_company", "tracking_number")


@admin.register(Return)
class ReturnAdmin(PartAdmin):
    list_display = ("created_at", "order", "contents", "reason")


@admin.register(Payment)
class PaymentAdmin(BaseModelAdmin):
    list_display = ("created_at", "order", "kind", "sum", "reference")
    list_filter = ("kind",)
    list_select_related = ("order",)
    search_ids = ("pk", "order_id")
    search_help_text = "A whole id: of the payment or its order."

    @admin.display(description="amount")
    def sum(self, payment: Payment) -> str:
        return display(payment.amount, payment.order.currency)


def _contents(part: Shipment | Return) -> str:
    """For people: `2 of MUG, 1 of TEA, written off`."""
    return ", ".join(str(item) for item in part.items.all())
