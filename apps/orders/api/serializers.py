"""Input of the calls on storefronts, products and orders."""

from collections.abc import Mapping
from typing import Any

from django.core.validators import RegexValidator, URLValidator
from rest_framework import serializers

from apps.common.api.fields import Amount, Boolean, Choice, Currency, Integer, Many, Metadata, Text
from apps.common.api.pagination import PageQuery
from apps.common.api.serializers import Body, Query, shared
from apps.orders.api.plain import plain_order
from apps.orders.api.representations import ADDRESS_FIELDS
from apps.orders.enums import (
    MAX_BULK,
    MAX_LINES,
    MAX_ON_HAND,
    MAX_QUANTITY,
    MAX_RESERVATION_MINUTES,
    OrderStatus,
    PaymentKind,
)

_ITEMS: dict[str, Any] = {"many": True, "min_length": 1, "max_length": MAX_LINES}


class Sku(Text):
    """A product's name among programs."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=100, **kwargs)


def _threshold(**kwargs: Any) -> Integer:
    return Integer(
        min_value=0,
        max_value=MAX_ON_HAND,
        allow_null=True,
        help_text="At this much available or less, `product.stock_low` is told; null = off.",
        **kwargs,
    )


def _minutes(**kwargs: Any) -> Integer:
    return Integer(
        min_value=1,
        max_value=MAX_RESERVATION_MINUTES,
        allow_null=True,
        help_text="How long a pending order holds its stock; null = without end.",
        **kwargs,
    )


class StorefrontInput(Body):
    code = Text(
        max_length=63,
        validators=[
            RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z", "Letters, digits, dots, - and _ only.")
        ],
        help_text="What orders name it by; it stays.",
    )
    name = Text(max_length=200)
    currency = Currency(help_text="Of its orders; their products must have it too.")
    reservation_minutes = _minutes(default=None)


class StorefrontChanges(Body):
    name = Text(max_length=200, required=False)
    currency = Currency(required=False)
    reservation_minutes = _minutes(required=False)


class ProductInput(Body):
    sku = Sku(help_text="What orders name it by; it stays.")
    name = Text(max_length=200)
    price = Amount()
    currency = Currency()
    active = Boolean(source="is_active", default=True, help_text="Whether it can be ordered.")
    low_stock_threshold = _threshold(default=None)
    stock = Integer(min_value=0, max_value=MAX_ON_HAND, default=0, help_text="Pieces on hand.")


class ProductReplacement(Body):
    """All that can be written of a product; `stock` left out stays as it is."""

    name = Text(max_length=200)
    price = Amount()
    currency = Currency()
    active = Boolean(source="is_active", default=True, help_text="Whether it can be ordered.")
    low_stock_threshold = _threshold(default=None)
    stock = Integer(
        min_value=0, max_value=MAX_ON_HAND, required=False, help_text="Pieces on hand, as counted."
    )

    def to_internal_value(self, data: Any) -> Any:
        """A `stock` as GET shows it is a read-only member like others: ignored when unchanged."""
        current = self.context.get("current") or {}
        if isinstance(data, Mapping) and data.get("stock") == current.get("stock"):
            data = {name: value for name, value in data.items() if name != "stock"}
        return super().to_internal_value(data)


class ProductChanges(Body):
    name = Text(max_length=200, required=False)
    price = Amount(required=False)
    currency = Currency(required=False)
    active = Boolean(source="is_active", required=False, help_text="Whether it can be ordered.")
    low_stock_threshold = _threshold(required=False)


class StockAdjustment(Body):
    delta = Integer(
        min_value=-MAX_ON_HAND, max_value=MAX_ON_HAND, help_text="Pieces more or, below 0, less."
    )
    reason = Text(max_length=200)

    default_error_messages = {"zero": "An adjustment by nothing is none."}

    def validate_delta(self, delta: int) -> int:
        if delta == 0:
            self.fail("zero")
        return delta


class StockCount(Body):
    on_hand = Integer(min_value=0, max_value=MAX_ON_HAND, help_text="Pieces, as counted.")


class OrderItemInput(Body):
    sku = Sku()
    quantity = Integer(min_value=1, max_value=MAX_QUANTITY)


def _address_field(name: str, max_length: int) -> Text:
    if name == "country":
        country = RegexValidator(r"^[A-Z]{2}\Z", "Two capital letters (ISO 3166), e.g. DE.")
        return Text(max_length=max_length, required=False, validators=[country])
    return Text(max_length=max_length, required=False, allow_blank=True)


class ShippingAddressInput(Body):
    """Where the order goes; every member may be left out."""

    def get_fields(self) -> dict[str, Any]:
        return {name: _address_field(name, length) for name, length in ADDRESS_FIELDS.items()}


class OrderInput(Body):
    storefront = Text(max_length=63, help_text="Its code.")
    customer_id = Text(max_length=100, help_text="Your own id of the customer.")
    items = OrderItemInput(**_ITEMS, help_text="Lines of one sku are summed.")
    external_id = Text(
        max_length=100,
        allow_null=True,
        default=None,
        help_text="Your own id, unique per storefront.",
    )
    shipping_address = ShippingAddressInput(allow_null=True, default=None)
    metadata = Metadata(default=dict)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Plain bodies take a short way to the same values."""
        return plain_order(data) or super().run_validation(data)


class EachOrder(Many):
    """Orders, each looked at by itself: a faulty one is its ValidationError among the others."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(child=OrderInput(), **kwargs)

    def run_child_validation(self, data: list[Any]) -> list[Any]:
        return [self._outcome(one) for one in data]

    def _outcome(self, data: Any) -> dict[str, Any] | serializers.ValidationError:
        try:
            values: dict[str, Any] = shared(OrderInput).run_validation(data)
        except serializers.ValidationError as error:
            return error
        return values


class BulkInput(Body):
    orders = EachOrder(
        min_length=1,
        max_length=MAX_BULK,
        help_text="Placed in this order, so the first get what there is.",
    )


def _tracking(max_length: int, **kwargs: Any) -> Text:
    return Text(
        max_length=max_length, required=False, allow_null=True, trim_whitespace=False, **kwargs
    )


class TrackingInput(Body):
    tracking_company = _tracking(100)
    tracking_number = _tracking(200, help_text="Kept as sent.")
    tracking_link = _tracking(
        2000, validators=[URLValidator(schemes=["http", "https"])], help_text="http or https."
    )


class OrderChanges(TrackingInput):
    status = Choice(choices=OrderStatus.choices, required=False)
    shipping_address = ShippingAddressInput(
        required=False, allow_null=True, help_text="Replaces the whole address."
    )
    items = OrderItemInput(
        **_ITEMS,
        required=False,
        help_text="All of them, while pending or confirmed; a sku that stays keeps its price.",
    )
    metadata = Metadata(required=False, help_text="Replaces the whole object.")


class ShipmentInput(TrackingInput):
    items = OrderItemInput(
        **_ITEMS, required=False, help_text="What is shipped; left out: all that is left."
    )


class ReturnItemInput(OrderItemInput):
    restock = Boolean(default=True, help_text="Back into stock; false: written off.")


class ReturnInput(Body):
    items = ReturnItemInput(
        **_ITEMS, required=False, help_text="What came back; left out: all that is out, into stock."
    )
    reason = Text(max_length=200, default="", allow_blank=True)


class PaymentInput(Body):
    kind = Choice(choices=PaymentKind.choices)
    amount = Amount(min_value=1)
    reference = Text(
        max_length=200, help_text="The payment service's own; again with it does nothing."
    )


class ProductsQuery(PageQuery):
    q = serializers.CharField(
        required=False,
        max_length=100,
        help_text="The start of a sku, or words of sku and name, each by its start; in either case.",
    )
    sku = serializers.CharField(required=False, max_length=100)
    currency = serializers.CharField(required=False, max_length=3)
    active = serializers.BooleanField(required=False)


class OrderFilters(Query):
    """Which orders: for the list and for the export."""

    status = serializers.ChoiceField(choices=OrderStatus.choices, required=False)
    storefront = serializers.CharField(required=False, max_length=63, help_text="Its code.")
    customer_id = serializers.CharField(required=False, max_length=100)
    external_id = serializers.CharField(required=False, max_length=100)
    sku = serializers.CharField(
        required=False, max_length=100, help_text="Orders that have this product."
    )
    created_after = serializers.DateTimeField(required=False, help_text="RFC 3339.")
    created_before = serializers.DateTimeField(required=False, help_text="RFC 3339.")


class OrdersQuery(PageQuery, OrderFilters):
    """A page of orders."""


class ExportQuery(OrderFilters):
    after = serializers.UUIDField(
        required=False, help_text="Go on after the order of this id, where a stream broke off."
    )
