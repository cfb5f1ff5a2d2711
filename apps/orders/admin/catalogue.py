"""Storefronts, and products with their stock."""

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.forms import ActionForm
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from apps.common.admin import BaseModelAdmin, actor_of
from apps.common.money import display
from apps.orders.admin.acting import each
from apps.orders.enums import MAX_ON_HAND
from apps.orders.models import Product, Stock, StockDrift, StockMovement, Storefront
from apps.orders.services import products


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

        each(self, request, chosen, adjust)


@admin.register(Stock)
class StockAdmin(BaseModelAdmin):
    list_display = ("product", "on_hand", "reserved", "available", "low_stock_threshold", "is_low")
    list_filter = ("is_low",)
    list_select_related = ("product",)
    search_ids = ("pk",)
    search_help_text = "The whole id of a product."


@admin.register(StockDrift)
class StockDriftAdmin(BaseModelAdmin):
    """Empty, or a reason to look what wrote to the stock without its ledger."""

    list_display = (
        "product",
        "on_hand",
        "ledger_on_hand",
        "reserved",
        "ledger_reserved",
        "found_at",
    )
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
