"""Orders with all that happened to them."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.enums import ActionVariant

from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin, RecordInline
from apps.common.admin.filters import DeletedFilter, MadeFilter, newest
from apps.common.admin.history import HistoryAdmin
from apps.common.admin.panels import LONGEST_TIMELINE, Panel, timeline
from apps.common.admin.shown import list_of, moment, money, related, state
from apps.common.money import display
from apps.orders.admin.forms import (
    PaymentForm,
    ReasonForm,
    ReturnPartsForm,
    ShipForm,
    ShipPartsForm,
    minor_units,
)
from apps.orders.admin.fulfillment import PaymentInline, ReturnInline, ShipmentInline
from apps.orders.admin.ledger import ledger
from apps.orders.enums import OrderStatus, PaymentKind
from apps.orders.models import Order, OrderChange, OrderLine
from apps.orders.services import fulfillment, orders, payments
from apps.orders.services.asked import Asked


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


def _is(*states: OrderStatus) -> Callable[[Order], bool]:
    return lambda order: order.deleted_at is None and order.status in states


def _is_out(order: Order) -> bool:
    """Whether a part of it is: a confirmed one may be."""
    states = OrderStatus.CONFIRMED, OrderStatus.SHIPPED, OrderStatus.COMPLETED
    return _is(*states)(order) and any(line.out for line in order.lines.all())


@admin.register(Order)
class OrderAdmin(BaseModelAdmin):
    list_display = (
        "number",
        state("status"),
        related("account"),
        related("storefront"),
        "customer_id",
        money("total"),
        moment("created_at", "placed"),
        moment("updated_at", "changed"),
    )
    list_filter = (newest("status", OrderStatus.choices), MadeFilter, DeletedFilter)
    list_select_related = ("account", "storefront")
    search_ids = ("pk", "account_id", "storefront_id")
    search_accounts = ("account",)
    search_help_text = (
        "A number, the start of an account's slug, or a whole id: of the order, its account or its "
        "storefront."
    )
    fieldsets = (
        (None, {"fields": (("number", "status_label"), ("account", "storefront"), "customer_id")}),
        (
            "Money",
            {"fields": (("sum", "paid"), ("was_authorized", "was_refunded")), "classes": ("tab",)},
        ),
        (
            "Delivery",
            {
                "fields": (
                    "shipping_address",
                    ("tracking_company", "tracking_number"),
                    "tracking_link",
                ),
                "classes": ("tab",),
            },
        ),
        (
            "Record",
            {
                "fields": (
                    ("id", "version"),
                    ("external_id", "metadata"),
                    ("created_at", "updated_at"),
                    ("reservation_expires_at", "deleted_at"),
                ),
                "classes": ("tab",),
            },
        ),
    )
    readonly_fields = ("status_label", "sum", "paid", "was_authorized", "was_refunded")
    inlines = (LineInline, ShipmentInline, ReturnInline, PaymentInline)

    def subject_of(self, row: Order) -> UUID:
        return row.pk

    def get_panels(self, request: HttpRequest, row: Order) -> Iterable[Panel]:
        changes = row.history.order_by("-id")[:LONGEST_TIMELINE]
        yield timeline(changes, list_of(OrderChange, f"q={row.pk}"))
        yield ledger(row.movements.select_related("product"), f"q={row.pk}")

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> "tuple[QuerySet[Any], bool]":
        term = search_term.strip()
        if term.isascii() and term.isdigit() and len(term) <= 18:
            return self.get_queryset(request).filter(number=int(term)), False
        return super().get_search_results(request, queryset, search_term)

    @admin.display(description="total")
    def sum(self, order: Order) -> str:
        return display(order.total, order.currency)

    @admin.display(description="captured")
    def paid(self, order: Order) -> str:
        return display(order.captured, order.currency)

    @admin.display(description="authorized")
    def was_authorized(self, order: Order) -> str:
        return display(order.authorized, order.currency)

    @admin.display(description="refunded")
    def was_refunded(self, order: Order) -> str:
        return display(order.refunded, order.currency)

    @Action(
        "Confirm",
        "The reservation of its stock has no end any more; it can be shipped.",
        icon="check_circle",
        variant=ActionVariant.PRIMARY,
        when=_is(OrderStatus.PENDING),
    )
    def confirm(self, order: Order, actor: Actor) -> str:
        return _take(order, actor, OrderStatus.CONFIRMED)

    @Action(
        "Ship",
        "All that is not shipped yet goes out: the stock on hand falls by it.",
        icon="local_shipping",
        variant=ActionVariant.PRIMARY,
        form=ShipForm,
        when=_is(OrderStatus.CONFIRMED),
    )
    def ship(self, order: Order, actor: Actor, **tracking: str) -> str:
        known = {name: value for name, value in tracking.items() if value}
        return _take(order, actor, OrderStatus.SHIPPED, **known)

    @Action(
        "Ship a part",
        "What you name goes out: the stock on hand falls by it. With the last piece the order is shipped.",
        icon="package_2",
        form=ShipPartsForm,
        when=_is(OrderStatus.CONFIRMED),
        alone=True,
    )
    def ship_part(
        self, order: Order, actor: Actor, parts: Mapping[str, int], **tracking: str
    ) -> str:
        changed, _ = fulfillment.ship_order(
            account_id=order.account_id,
            order_id=order.pk,
            items=Asked.of({"sku": sku, "quantity": quantity} for sku, quantity in parts.items()),
            tracking={name: value for name, value in tracking.items() if value},
            actor=actor,
        )
        return f"{_pieces(parts)} of {changed} went out; it is {changed.status}."

    @Action(
        "Complete",
        "It has arrived; only a return can follow.",
        icon="task_alt",
        variant=ActionVariant.PRIMARY,
        when=_is(OrderStatus.SHIPPED),
    )
    def complete(self, order: Order, actor: Actor) -> str:
        return _take(order, actor, OrderStatus.COMPLETED)

    @Action(
        "Cancel",
        "Its stock is released for other orders. It cannot be confirmed again.",
        icon="cancel",
        variant=ActionVariant.DANGER,
        when=_is(OrderStatus.PENDING, OrderStatus.CONFIRMED),
    )
    def cancel(self, order: Order, actor: Actor) -> str:
        return _take(order, actor, OrderStatus.CANCELED)

    @Action(
        "Return",
        "All that is out comes back into stock.",
        icon="assignment_return",
        form=ReasonForm,
        when=_is(OrderStatus.SHIPPED, OrderStatus.COMPLETED),
    )
    def take_back(self, order: Order, actor: Actor, reason: str) -> str:
        changed, _ = fulfillment.return_order(
            account_id=order.account_id, order_id=order.pk, items=None, reason=reason, actor=actor
        )
        return f"{changed} is {changed.status}."

    @Action(
        "Return a part",
        "What you name came back. With the last piece the order is returned.",
        icon="assignment_return",
        form=ReturnPartsForm,
        when=_is_out,
        alone=True,
    )
    def take_back_part(
        self, order: Order, actor: Actor, parts: Mapping[str, int], restock: bool, reason: str
    ) -> str:
        changed, _ = fulfillment.return_order(
            account_id=order.account_id,
            order_id=order.pk,
            items=[
                fulfillment.BackBySku(sku, quantity, restock) for sku, quantity in parts.items()
            ],
            reason=reason,
            actor=actor,
        )
        where = "into stock" if restock else "and was written off"
        return f"{_pieces(parts)} of {changed} came back {where}; it is {changed.status}."

    @Action(
        "Record payment",
        "It is added to what was authorized, captured or refunded. No money is moved by it.",
        icon="payments",
        form=PaymentForm,
        permission="orders.add_payment",
        alone=True,
        when=lambda order: order.deleted_at is None,
    )
    def record_payment(
        self, order: Order, actor: Actor, kind: str, amount: Decimal, reference: str
    ) -> str:
        recorded = payments.record_payment(
            account_id=order.account_id,
            order_id=order.pk,
            kind=PaymentKind(kind),
            amount=minor_units(amount, order.currency),
            reference=reference,
            actor=actor,
        )
        said = f"{display(recorded.payment.amount, order.currency)} {kind} for {order}"
        return f"{said} noted." if recorded.is_new else f"{said} was noted before."

    @Action(
        "Delete",
        "It is out of sight of its shop, and what it holds is released. It can be restored here.",
        icon="delete",
        variant=ActionVariant.DANGER,
        when=lambda order: order.deleted_at is None,
    )
    def remove(self, order: Order, actor: Actor) -> str:
        orders.delete_order(account_id=order.account_id, order_id=order.pk, actor=actor)
        return f"{order} is deleted."

    @Action(
        "Restore",
        "It is back as it was, and its stock is reserved again.",
        icon="restore_from_trash",
        variant=ActionVariant.PRIMARY,
        when=lambda order: order.deleted_at is not None,
    )
    def restore(self, order: Order, actor: Actor) -> str:
        orders.restore_order(order_id=order.pk, actor=actor)
        return f"{order} is back."


def _take(order: Order, actor: Actor, status: OrderStatus, **tracking: str) -> str:
    orders.change_order(
        account_id=order.account_id,
        order_id=order.pk,
        changes={"status": status, **tracking},
        actor=actor,
    )
    return f"{order} is {status.value}."


def _pieces(parts: Mapping[str, int]) -> str:
    return ", ".join(f"{quantity} of {sku}" for sku, quantity in parts.items())


@admin.register(OrderLine)
class OrderLineAdmin(BaseModelAdmin):
    list_display = ("sku", "name", "quantity", "shipped", "returned", related("order"))
    list_select_related = ("order",)
    search_ids = ("pk", "order_id", "product_id")
    search_help_text = "A whole id: of the line, its order or its product."


@admin.register(OrderChange)
class OrderChangeAdmin(HistoryAdmin):
    list_display = HistoryAdmin.columns(related("order"))
    list_select_related = ("order",)
    search_ids = ("pk", "order_id")
    search_help_text = "A whole id: of the change or its order."
