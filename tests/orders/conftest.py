"""A shop to order from: its API client, a storefront and products with stock."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from apps.events.models import Event
from apps.orders.models import Stock, StockMovement
from apps.orders.selectors import compared_stock
from tests.conftest import MakeClient
from tests.support import ApiClient

BASE = "/api/v1"


class Shop:
    """A storefront and what its owner does with it; each call asserts that it succeeded."""

    def __init__(self, api: ApiClient, code: str = "web", **storefront: Any) -> None:
        self.api = api
        self.code = code
        answer = api.post(
            f"{BASE}/storefronts", {"code": code, "name": "Web", "currency": "EUR", **storefront}
        )
        assert answer.status_code == 201, answer.content
        self.storefront: dict[str, Any] = answer.json()

    def product(self, sku: str = "MUG", *, stock: int = 10, **fields: Any) -> dict[str, Any]:
        body = {"sku": sku, "name": sku.title(), "price": 1250, "currency": "EUR", "stock": stock}
        answer = self.api.post(f"{BASE}/products", body | fields)
        assert answer.status_code == 201, answer.content
        made: dict[str, Any] = answer.json()
        return made

    def body(self, *items: tuple[str, int], **fields: Any) -> dict[str, Any]:
        """The body of an order of `("MUG", 2)`…"""
        return {
            "storefront": self.code,
            "customer_id": "customer-1",
            "items": [{"sku": sku, "quantity": quantity} for sku, quantity in items],
            **fields,
        }

    def try_order(self, *items: tuple[str, int], key: str | None = None, **fields: Any) -> Any:
        """The answer, whatever it is."""
        return self.api.post(f"{BASE}/orders", self.body(*items, **fields), idempotency_key=key)

    def order(self, *items: tuple[str, int], **fields: Any) -> dict[str, Any]:
        answer = self.try_order(*(items or (("MUG", 1),)), **fields)
        assert answer.status_code == 201, answer.content
        made: dict[str, Any] = answer.json()
        return made

    def try_change(self, order: dict[str, Any], headers: Any = None, **changes: Any) -> Any:
        return self.api.patch(f"{BASE}/orders/{order['id']}", changes, headers=headers)

    def change(self, order: dict[str, Any], **changes: Any) -> dict[str, Any]:
        answer = self.try_change(order, **changes)
        assert answer.status_code == 200, answer.content
        changed: dict[str, Any] = answer.json()
        return changed

    def advance(self, order: dict[str, Any], *statuses: str) -> dict[str, Any]:
        """Take the order through these states."""
        for status in statuses:
            order = self.change(order, status=status)
        return order

    def try_ship(self, order: dict[str, Any], *items: tuple[str, int], **fields: Any) -> Any:
        """`try_ship(order, ("MUG", 1), tracking_number="1Z")`; without items all that is left."""
        return self._post(order, "shipments", items, fields)

    def ship(self, order: dict[str, Any], *items: tuple[str, int], **fields: Any) -> dict[str, Any]:
        return self._made(self.try_ship(order, *items, **fields))

    def try_return(self, order: dict[str, Any], *items: tuple[Any, ...], **fields: Any) -> Any:
        """`try_return(order, ("MUG", 1), ("MUG", 2, False))`: the second is written off."""
        return self._post(order, "returns", items, fields)

    def take_back(
        self, order: dict[str, Any], *items: tuple[Any, ...], **fields: Any
    ) -> dict[str, Any]:
        return self._made(self.try_return(order, *items, **fields))

    def try_pay(
        self, order: dict[str, Any], kind: str, amount: int, reference: str = "ref", **options: Any
    ) -> Any:
        body = {"kind": kind, "amount": amount, "reference": reference}
        return self.api.post(f"{BASE}/orders/{order['id']}/payments", body, **options)

    def read(self, order: dict[str, Any]) -> dict[str, Any]:
        """The order as it stands."""
        answer = self.api.get(f"{BASE}/orders/{order['id']}")
        assert answer.status_code == 200, answer.content
        found: dict[str, Any] = answer.json()
        return found

    def _post(
        self, order: dict[str, Any], what: str, items: tuple[tuple[Any, ...], ...], fields: Any
    ) -> Any:
        body = dict(fields)
        if items:
            names = ("sku", "quantity", "restock")
            body["items"] = [dict(zip(names, item, strict=False)) for item in items]
        return self.api.post(f"{BASE}/orders/{order['id']}/{what}", body)

    def _made(self, answer: Any) -> dict[str, Any]:
        assert answer.status_code == 201, answer.content
        made: dict[str, Any] = answer.json()
        return made

    def delete(self, order: dict[str, Any]) -> Any:
        return self.api.delete(f"{BASE}/orders/{order['id']}")

    def history(self, order: dict[str, Any]) -> list[dict[str, Any]]:
        """Oldest first."""
        answer = self.api.get(f"{BASE}/orders/{order['id']}/history")
        assert answer.status_code == 200, answer.content
        rows: list[dict[str, Any]] = answer.json()["results"]
        return rows[::-1]


MakeShop = Callable[..., Shop]


@pytest.fixture
def make_shop(api: MakeClient) -> MakeShop:
    """Makes shops, each of an account of its own: `make_shop(reservation_minutes=30)`."""

    def make(**storefront: Any) -> Shop:
        return Shop(api(), **storefront)

    return make


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    return make_shop()


def stock(sku: str = "MUG") -> tuple[int, int]:
    """(on_hand, reserved)."""
    row = Stock.objects.get(product__sku=sku)
    return row.on_hand, row.reserved


def movements(sku: str = "MUG") -> list[tuple[str, int, int]]:
    """(kind, on_hand, reserved) of the ledger, oldest first."""
    rows = StockMovement.objects.filter(product__sku=sku).order_by("pk")
    return [(row.kind, row.on_hand, row.reserved) for row in rows]


def event_types(subject: str | None = None) -> list[str]:
    """Types of the events so far, in the order of insertion."""
    rows = Event.objects.order_by("sequence")
    return [row.type for row in (rows if subject is None else rows.filter(subject=subject))]


def assert_ledger_agrees() -> None:
    """Every counter is the fold of its ledger."""
    assert [row for row in compared_stock(after=UUID(int=0), limit=10_000) if row.has_drifted] == []
