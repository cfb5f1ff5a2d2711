"""Storefronts, products with their stock, and orders in the back office."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST
from unfold.forms import ActionForm
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from apps.accounts.models import Account
from apps.common.actor import Actor
from apps.common.admin import BaseModelAdmin, RecordInline, actor_of
from apps.common.errors import DomainError
from apps.common.money import display
from apps.orders.enums import MAX_ON_HAND, OrderStatus
from apps.orders.models import (
    Order,
    OrderChange,
    OrderLine,
    Product,
    ProductImport,
    Stock,
    StockMovement,
    Storefront,
)
from apps.orders.services import imports, orders, products


@admin.register(Storefront)
class StorefrontAdmin(BaseModelAdmin):
    list_display = ("code", "name", "account", "currency", "reservation_minutes", "created_at")
    list_select_related = ("account",)
    search_fields = ("code__startswith", "account__slug__startswith")
    search_ids = ("pk", "account_id")
    search_help_text = "The start of a code or of an account's slug, or a whole id."


class StockForm(ActionForm):  # type: ignore[misc]  # unfold has no type hints
    """The action of the list, with what `adjust_stock` needs."""

    delta = forms.IntegerField(
        required=False,
        min_value=-MAX_ON_HAND,
        max_value=MAX_ON_HAND,
        label="Pieces (+/-):",
        widget=UnfoldAdminIntegerFieldWidget,
    )
    reason = forms.CharField(
        required=False, max_length=200, label="Reason:", widget=UnfoldAdminTextInputWidget
    )


@admin.register(Product)
class ProductAdmin(BaseModelAdmin):
    list_display = (
        "sku",
        "name",
        "account",
        "amount",
        "is_active",
        "on_hand",
        "reserved",
        "available",
    )
    list_filter = ("is_active", "stock__is_low")
    list_select_related = ("account", "stock")
    search_fields = ("sku__startswith",)
    search_ids = ("pk", "account_id")
    search_help_text = "The start of a sku, or a whole id: of the product or its account."
    readonly_fields = ("on_hand", "reserved", "available")
    action_form = StockForm
    actions = ("adjust_stock",)

    @admin.display(description="price")
    def amount(self, product: Product) -> str:
        return display(product.price, product.currency)

    @admin.display
    def on_hand(self, product: Product) -> int:
        return product.stock.on_hand

    @admin.display
    def reserved(self, product: Product) -> int:
        return product.stock.reserved

    @admin.display
    def available(self, product: Product) -> int:
        return product.stock.available

    @admin.action(description="Adjust the stock of the chosen products", permissions=["change"])
    def adjust_stock(self, request: HttpRequest, chosen: "QuerySet[Product]") -> None:
        form = StockForm(request.POST)
        form.fields.pop("action")  # that we are here says which
        if not form.is_valid() or not form.cleaned_data["delta"] or not form.cleaned_data["reason"]:
            self.message_user(request, "Say how many pieces, and why.", messages.ERROR)
            return
        delta, reason = form.cleaned_data["delta"], form.cleaned_data["reason"]

        def adjust(product: Product) -> str:
            changed = products.adjust_stock(
                account_id=product.account_id,
                product_id=product.pk,
                delta=delta,
                reason=reason,
                actor=actor_of(request),
            )
            return f"{changed} has {changed.stock} available."

        _each(self, request, chosen, adjust)


@admin.register(Stock)
class StockAdmin(BaseModelAdmin):
    list_display = ("product", "on_hand", "reserved", "available", "low_stock_threshold", "is_low")
    list_filter = ("is_low",)
    list_select_related = ("product",)
    search_ids = ("pk",)
    search_help_text = "The whole id of a product."


@admin.register(StockMovement)
class StockMovementAdmin(BaseModelAdmin):
    list_display = ("created_at", "product", "kind", "on_hand", "reserved", "order", "reason", "by")
    list_filter = ("kind",)
    list_select_related = ("product", "order")
    search_ids = ("pk", "product_id", "order_id")
    search_help_text = "A whole id: of the movement, its product or its order."

    @admin.display(description="by")
    def by(self, movement: StockMovement) -> str:
        return str(movement.actor["label"])


class LineInline(RecordInline):
    model = OrderLine
    fields = readonly_fields = ("sku", "name", "quantity", "price", "sum")
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
    verbose_name_plural = "history"
    show_change_link = False

    @admin.display(description="by")
    def by(self, change: OrderChange) -> str:
        return str(change.actor["label"])


class MovementInline(RecordInline):
    model = StockMovement
    fields = readonly_fields = ("created_at", "product", "kind", "on_hand", "reserved")
    ordering = ("id",)
    verbose_name_plural = "stock movements"


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
    inlines = (LineInline, ChangeInline, MovementInline)
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

        _each(self, request, chosen, restore)

    def _take(self, request: HttpRequest, chosen: "QuerySet[Order]", status: OrderStatus) -> None:
        def change(order: Order) -> str:
            orders.change_order(
                account_id=order.account_id,
                order_id=order.pk,
                changes={"status": status},
                actor=actor_of(request),
            )
            return f"{order} is {status.value}."

        _each(self, request, chosen, change)


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


class SheetForm(forms.Form):
    """A sheet for an account; larger ones go in by `manage.py import_products`."""

    account = forms.SlugField(help_text="Its slug.", widget=UnfoldAdminTextInputWidget())
    file = forms.FileField(
        help_text="CSV, 1 MiB at the most. Its first line names the columns: sku, and any of name, price"
        " (in the minor unit), currency, active, low_stock_threshold, stock (as counted)."
    )

    def clean_account(self) -> Account:
        account = Account.objects.filter(slug=self.cleaned_data["account"]).first()
        if account is None:
            raise forms.ValidationError("There is no such account.")
        return account

    def clean_file(self) -> UploadedFile:
        file: UploadedFile = self.cleaned_data["file"]
        if (file.size or 0) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise forms.ValidationError("This is over 1 MiB: use manage.py import_products.")
        return file

    def upload(self, actor: Actor) -> ProductImport | None:
        """Keep the sheet; None when it is none, which the form then says."""
        file = self.cleaned_data["file"]
        try:
            return imports.upload(
                account_id=self.cleaned_data["account"].pk,
                name=file.name[:200],
                content=file.read(),
                actor=actor,
            )
        except DomainError as error:
            self.add_error("file", error.detail)
            return None


@admin.register(ProductImport)
class ProductImportAdmin(BaseModelAdmin):
    """Upload a sheet, look at what it would do, bring it in."""

    list_display = ("created_at", "name", "account", "committed_at")
    list_select_related = ("account",)
    search_ids = ("pk", "account_id")
    search_help_text = "A whole id: of the import or its account."
    exclude = ("content", "report")
    change_form_template = "admin/orders/productimport/change_form.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perms(("orders.add_productimport", "orders.change_product"))

    def get_urls(self) -> list[URLPattern]:
        commit = self.admin_site.admin_view(require_POST(self.commit))
        return [
            path("<uuid:import_id>/commit/", commit, name="orders_productimport_commit"),
            *super().get_urls(),
        ]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = SheetForm(request.POST or None, request.FILES or None)
        if form.is_valid() and (sheet := form.upload(actor_of(request))):
            return redirect("admin:orders_productimport_change", sheet.pk)
        context = {**self.admin_site.each_context(request), "form": form, "opts": self.opts}
        return render(request, "admin/orders/productimport/upload.html", context)

    def commit(self, request: HttpRequest, import_id: UUID) -> HttpResponse:
        """Bring in what was looked at."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        try:
            report = imports.commit_upload(import_id=import_id, actor=actor_of(request))
        except DomainError as error:
            self.message_user(request, error.detail, messages.WARNING)
        else:
            done = f"{report.created} created, {report.updated} updated, {report.refused} refused."
            self.message_user(request, done, messages.SUCCESS)
        return redirect("admin:orders_productimport_change", import_id)


def _each(
    page: BaseModelAdmin,
    request: HttpRequest,
    chosen: "QuerySet[Any]",
    act: Callable[[Any], str],
) -> None:
    """Do it to each of the chosen rows, and say what came of it."""
    for row in chosen:
        try:
            page.message_user(request, act(row), messages.SUCCESS)
        except DomainError as error:
            details = " ".join(dict.fromkeys([error.detail, *(f.detail for f in error.faults)]))
            page.message_user(request, f"{row}: {details}", messages.WARNING)
