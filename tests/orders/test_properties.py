"""Whatever is called in whatever order: ledger, counters and orders agree, and no input is a 500."""

from typing import Any

import pytest
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.events.models import Event
from apps.orders.enums import RESERVING, OrderStatus
from apps.orders.models import Order, OrderChange, OrderLine, Stock
from apps.orders.services.orders import restore_order
from tests.orders.conftest import BASE, MakeShop, Shop, assert_ledger_agrees
from tests.orders.test_changes import OPERATOR

pytestmark = pytest.mark.django_db

SKUS = ("A", "B", "C")

baskets = st.lists(st.tuples(st.sampled_from(SKUS), st.integers(1, 6)), min_size=1, max_size=4)
steps = st.one_of(
    st.tuples(st.just("order"), baskets),
    st.tuples(st.just("status"), st.integers(0, 5), st.sampled_from(OrderStatus.values)),
    st.tuples(st.just("items"), st.integers(0, 5), baskets),
    st.tuples(st.just("delete"), st.integers(0, 5)),
    st.tuples(st.just("restore"), st.integers(0, 5)),
    st.tuples(st.just("adjust"), st.sampled_from(SKUS), st.integers(-8, 8)),
    st.tuples(st.just("count"), st.sampled_from(SKUS), st.integers(0, 15)),
)


class Machine:
    """Takes steps as clients would, and lets every refusal be one of those foreseen."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.orders: list[dict[str, Any]] = []
        self.products = {sku: shop.product(sku, stock=10) for sku in SKUS}

    def take(self, step: tuple[Any, ...]) -> None:
        name, *arguments = step
        if name in ("status", "items", "delete", "restore"):
            if not self.orders:
                return
            arguments[0] = self.orders[arguments[0] % len(self.orders)]
        getattr(self, name)(*arguments)

    def order(self, basket: list[tuple[str, int]]) -> None:
        answer = self.shop.try_order(*basket)
        assert answer.status_code in (201, 409)
        if answer.status_code == 201:
            self.orders.append(answer.json())

    def status(self, order: dict[str, Any], status: str) -> None:
        assert self.shop.try_change(order, status=status).status_code in (200, 404, 409)

    def items(self, order: dict[str, Any], basket: list[tuple[str, int]]) -> None:
        items = self.shop.body(*basket)["items"]
        assert self.shop.try_change(order, items=items).status_code in (200, 404, 409)

    def delete(self, order: dict[str, Any]) -> None:
        assert self.shop.delete(order).status_code in (204, 404)

    def restore(self, order: dict[str, Any]) -> None:
        if Order.objects.filter(pk=order["id"], deleted_at__isnull=False).exists():
            self._restore_if_there_is_stock(order)

    def _restore_if_there_is_stock(self, order: dict[str, Any]) -> None:
        lines = OrderLine.objects.filter(order=order["id"]).values_list("product", "quantity")
        reserving = Order.objects.get(pk=order["id"]).status in RESERVING
        rows = Stock.objects.in_bulk([product for product, _ in lines])
        if not reserving or all(rows[product].available >= wanted for product, wanted in lines):
            restore_order(order_id=order["id"], actor=OPERATOR)

    def adjust(self, sku: str, delta: int) -> None:
        path = f"{BASE}/products/{self.products[sku]['id']}/stock-adjustments"
        answer = self.shop.api.post(path, {"delta": delta, "reason": "test"})
        assert answer.status_code in ((201, 409) if delta else (400,))

    def count(self, sku: str, on_hand: int) -> None:
        path = f"{BASE}/products/{self.products[sku]['id']}/stock"
        assert self.shop.api.put(path, {"on_hand": on_hand}).status_code in (200, 409)

    def check(self) -> None:
        assert_ledger_agrees()
        account = self.shop.api.account
        held = (
            OrderLine.objects.filter(
                order__account=account, order__deleted_at=None, order__status__in=RESERVING
            )
            .values("product")
            .annotate(quantity=Sum("quantity"))
            .values_list("product", "quantity")
        )
        reserved = Stock.objects.filter(product__account=account, reserved__gt=0)
        assert dict(held) == dict(reserved.values_list("product", "reserved"))
        for order in Order.objects.filter(account=account).prefetch_related("lines"):
            assert order.total == sum(line.total for line in order.lines.all())
            changes = OrderChange.objects.filter(order=order).order_by("pk")
            assert [row.version for row in changes] == list(range(1, order.version + 1))
            told = Event.objects.filter(subject=order.pk).order_by("sequence")
            assert [row.type for row in changes] == [event.type for event in told]


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(steps, max_size=25))
def test_ledger_counters_orders_and_history_agree(
    make_shop: MakeShop, taken: list[tuple[Any, ...]]
) -> None:
    machine = Machine(make_shop())

    for step in taken:
        machine.take(step)

    machine.check()


anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = (
    "storefront",
    "customer_id",
    "items",
    "external_id",
    "shipping_address",
    "metadata",
    "status",
    "tracking_company",
    "tracking_number",
    "tracking_link",
    "sku",
    "name",
    "price",
    "currency",
    "active",
    "stock",
    "low_stock_threshold",
    "on_hand",
    "delta",
    "reason",
    "code",
    "reservation_minutes",
)


VALID: dict[str, Any] = {
    "storefront": "web",
    "customer_id": "c",
    "items": [{"sku": "MUG", "quantity": 1}],
    "sku": "NEW",
    "name": "New",
    "price": 1,
    "currency": "EUR",
    "on_hand": 5,
    "delta": 1,
    "reason": "r",
    "code": "new",
}
NEEDED = {
    "POST storefronts": ("code", "name", "currency"),
    "PATCH storefronts/{storefront}": (),
    "POST products": ("sku", "name", "price", "currency"),
    "PATCH products/{product}": (),
    "PUT products/by-sku/MUG": ("name", "price", "currency"),
    "PUT products/{product}/stock": ("on_hand",),
    "POST products/{product}/stock-adjustments": ("delta", "reason"),
    "POST orders": ("storefront", "customer_id", "items"),
    "PATCH orders/{order}": (),
}


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    call=st.sampled_from(sorted(NEEDED)),
    odd=anything | st.dictionaries(st.sampled_from(FIELDS), anything, min_size=1, max_size=3),
    key=st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
)
def test_no_body_is_a_500(make_shop: MakeShop, call: str, odd: Any, key: str | None) -> None:
    shop = make_shop()
    ids = {
        "storefront": shop.storefront["id"],
        "product": shop.product("MUG", stock=10)["id"],
        "order": shop.order(("MUG", 1))["id"],
    }
    method, path = call.format(**ids).split(" ")
    body = {name: VALID[name] for name in NEEDED[call]} | odd if isinstance(odd, dict) else odd

    answer = shop.api.request(method, f"{BASE}/{path}", body, idempotency_key=key)

    assert answer.status_code in (200, 201, 400, 409), answer.content
    for what, path in (("order", "orders"), ("product", "products"), ("storefront", "storefronts")):
        assert shop.api.get(f"{BASE}/{path}/{ids[what]}").status_code == 200
        assert shop.api.get(f"{BASE}/{path}").status_code == 200
    assert_ledger_agrees()
