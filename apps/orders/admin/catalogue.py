"""Storefronts, and products with their stock."""

from collections.abc import Iterable
from uuid import UUID

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin
from apps.common.admin.filters import MadeFilter, newest
from apps.common.admin.panels import Panel, shown_actor
from apps.common.admin.shown import moment, money, related
from apps.orders.admin.ledger import ledger
from apps.orders.enums import MAX_ON_HAND, MovementKind
from apps.orders.models import Product, Stock, StockDrift, StockMovement, Storefront
from apps.orders.services import products


@admin.register(Storefront)
class StorefrontAdmin(BaseModelAdmin):
    list_display = (
        "code",
        "name",
        related("account"),
        "currency",
        "reservation_minutes",
        moment("created_at"),
    )
    list_select_related = ("account",)
    search_fields = ("code__startswith",)
    search_accounts = ("account",)
    search_ids = ("pk", "account_id")
    search_help_text = "The start of a code or of an account's slug, or a whole id."


class AdjustForm(forms.Form):
    """What `adjust_stock` needs."""

    delta = forms.IntegerField(
        min_value=-MAX_ON_HAND,
        max_value=MAX_ON_HAND,
        label="Pieces",
        help_text="More, or with a minus less.",
        widget=UnfoldAdminIntegerFieldWidget,
    )
    reason = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)

    def clean_delta(self) -> int:
        delta: int = self.cleaned_data["delta"]
        if not delta:
            raise forms.ValidationError("Say how many pieces: more than none, or less.")
        return delta


class CountForm(forms.Form):
    """What `set_stock` needs."""

    on_hand = forms.IntegerField(
        min_value=0,
        max_value=MAX_ON_HAND,
        label="Counted pieces",
        help_text="On the shelf, reserved or not.",
        widget=UnfoldAdminIntegerFieldWidget,
    )


@admin.register(Product)
class ProductAdmin(BaseModelAdmin):
    list_display = (
        "sku",
        "name",
        related("account"),
        money("price"),
        "is_active",
        "on_hand",
        "reserved",
        "available",
    )
    list_filter = (newest("is_active", [("True", "Active"), ("False", "Not active")]),)
    list_select_related = ("account", "stock")
    search_fields = ("sku__startswith",)
    search_ids = ("pk", "account_id")
    search_accounts = ("account",)
    search_help_text = (
        "The start of a sku or of an account's slug, or a whole id: of the product or its account."
    )
    fieldsets = (
        (None, {"fields": (("sku", "name"), ("account", "is_active"), ("price", "currency"))}),
        ("Stock", {"fields": (("on_hand", "reserved", "available"),)}),
        ("Record", {"fields": (("id", "version"), ("created_at", "updated_at"))}),
    )
    readonly_fields = ("on_hand", "reserved", "available")

    def subject_of(self, row: Product) -> UUID:
        return row.pk

    def get_panels(self, request: HttpRequest, row: Product) -> Iterable[Panel]:
        movements = StockMovement.objects.filter(product=row).select_related("product")
        yield ledger(movements, f"q={row.pk}")

    @admin.display
    def on_hand(self, product: Product) -> str:
        return f"{product.stock.on_hand:,}"

    @admin.display
    def reserved(self, product: Product) -> str:
        return f"{product.stock.reserved:,}"

    @admin.display
    def available(self, product: Product) -> str:
        return f"{product.stock.available:,}"

    @Action(
        "Adjust stock",
        "Each gets this many pieces more, or loses them. Nothing is taken that is reserved for orders.",
        icon="exposure",
        variant=ActionVariant.PRIMARY,
        form=AdjustForm,
    )
    def adjust_stock(self, product: Product, actor: Actor, delta: int, reason: str) -> str:
        changed = products.adjust_stock(
            account_id=product.account_id,
            product_id=product.pk,
            delta=delta,
            reason=reason,
            actor=actor,
        )
        return f"{changed} has {changed.stock} available."

    @Action(
        "Set stock",
        "Each has this many pieces on the shelf, as counted. Not less than is reserved for orders.",
        icon="inventory",
        form=CountForm,
    )
    def set_stock(self, product: Product, actor: Actor, on_hand: int) -> str:
        changed = products.set_stock(
            account_id=product.account_id, product_id=product.pk, on_hand=on_hand, actor=actor
        )
        return f"{changed} has {changed.stock} available."


@admin.register(Stock)
class StockAdmin(BaseModelAdmin):
    list_display = (
        related("product"),
        "on_hand",
        "reserved",
        "available",
        "low_stock_threshold",
        "is_low",
    )
    list_filter = (newest("is_low", [("True", "Low"), ("False", "Enough")]),)
    list_select_related = ("product",)
    search_ids = ("pk",)
    search_help_text = "The whole id of a product."


@admin.register(StockDrift)
class StockDriftAdmin(BaseModelAdmin):
    """Empty, or a reason to look what wrote to the stock without its ledger."""

    list_display = (
        related("product"),
        "on_hand",
        "ledger_on_hand",
        "reserved",
        "ledger_reserved",
        moment("found_at"),
    )
    list_select_related = ("product",)
    search_ids = ("pk",)
    search_help_text = "The whole id of a product."


@admin.register(StockMovement)
class StockMovementAdmin(BaseModelAdmin):
    list_display = (
        moment("created_at", "when"),
        related("product"),
        "kind",
        "on_hand",
        "reserved",
        related("order"),
        "reason",
        "by",
    )
    list_filter = (newest("kind", MovementKind.choices), MadeFilter)
    list_select_related = ("product", "order")
    search_ids = ("pk", "product_id", "order_id")
    search_help_text = "A whole id: of the movement, its product or its order."

    @admin.display(description="by")
    def by(self, movement: StockMovement) -> str:
        return shown_actor(movement.actor, {})
