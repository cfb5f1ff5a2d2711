"""The items that a caller asks for, and what may be wrong with them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from apps.common.errors import Fault
from apps.common.ids import uuid7
from apps.common.instances import made
from apps.common.money import MAX_AMOUNT
from apps.orders.errors import ExternalIdTaken, InsufficientStock, OrderInvalid
from apps.orders.models import Order, OrderLine, Product, Storefront

CORRECT = "Correct the places listed in errors and send the request again."


@dataclass(frozen=True, slots=True)
class Asked:
    """Quantities by sku, lines of one sku summed, and the index of each sku's first line."""

    quantities: dict[str, int]
    first: dict[str, int]

    @classmethod
    def of(cls, items: Iterable[Mapping[str, Any]]) -> "Asked":
        """From the body's `items`."""
        quantities: dict[str, int] = {}
        first: dict[str, int] = {}
        for index, item in enumerate(items):
            sku = item["sku"]
            first.setdefault(sku, index)
            quantities[sku] = quantities.get(sku, 0) + item["quantity"]
        return cls(quantities=quantities, first=first)

    @property
    def skus(self) -> list[str]:
        return list(self.quantities)

    def pointer(self, sku: str) -> str:
        """Where the body first names `sku`."""
        return f"/items/{self.first[sku]}"

    def check_sellable(
        self, skus: Iterable[str], products: Mapping[str, Product], currency: str
    ) -> None:
        """Raise OrderInvalid unless each of `skus` is an active product with a price in `currency`."""
        faults = [
            Fault(f"{self.pointer(sku)}/sku", *fault)
            for sku in skus
            if (fault := _fault(sku, products.get(sku), currency)) is not None
        ]
        if faults:
            raise OrderInvalid(CORRECT, faults=faults)

    def shortages(self, available: Mapping[str, int]) -> list[Fault]:
        """One fault for each sku that `available` names."""
        return [
            Fault(
                self.pointer(sku),
                "insufficient_stock",
                f"{quantity} of {sku} were asked for, {available[sku]} are available.",
                {"sku": sku, "requested": quantity, "available": available[sku]},
            )
            for sku, quantity in self.quantities.items()
            if sku in available
        ]


def insufficient_stock(asked: Asked, available: dict[str, int]) -> InsufficientStock:
    """The error that names each short sku with what there is of it."""
    return InsufficientStock(
        "Nothing was reserved; errors names each item of which there is too little.",
        faults=asked.shortages(available),
    )


def external_id_taken(external_id: str | None) -> ExternalIdTaken:
    """The error for a second order of a storefront under one external_id."""
    detail = f"The storefront has another order with the external_id {external_id!r}."
    return ExternalIdTaken(detail, faults=[Fault("/external_id", ExternalIdTaken.code, detail)])


def reservation_end(storefront: Storefront, at: datetime) -> datetime | None:
    """Until when an order that is placed `at` this moment holds its stock; None = without end."""
    minutes = storefront.reservation_minutes
    return None if minutes is None else at + timedelta(minutes=minutes)


def line_for(order: Order, product: Product, quantity: int) -> OrderLine:
    """A line with the product's present name and price."""
    return made(
        OrderLine,
        {
            "id": uuid7(),
            "order_id": order.id,
            "product_id": product.id,
            "sku": product.sku,
            "name": product.name,
            "quantity": quantity,
            "unit_price": product.price,
        },
    )


def total_of(lines: Iterable[OrderLine]) -> int:
    """The sum of the lines; raises OrderInvalid when no amount of money is that large."""
    total = sum(line.total for line in lines)
    if total > MAX_AMOUNT:
        raise OrderInvalid(
            CORRECT,
            faults=[
                Fault("/items", "total_too_large", f"The total may be {MAX_AMOUNT} at the most.")
            ],
        )
    return total


def _fault(sku: str, product: Product | None, currency: str) -> tuple[str, str] | None:
    if product is None:
        return "unknown_sku", f"You have no product {sku!r}."
    if not product.is_active:
        return "inactive_product", f"{sku} is not for sale at present."
    if product.currency != currency:
        return (
            "wrong_currency",
            f"{sku} is priced in {product.currency}, the order is in {currency}.",
        )
    return None
