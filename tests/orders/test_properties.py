"""No input whatever is a 500."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.orders.conftest import BASE, MakeShop, Shop, assert_ledger_agrees

pytestmark = pytest.mark.django_db

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
    "kind",
    "amount",
    "reference",
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
    "kind": "captured",
    "amount": 1,
    "reference": "ref",
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
    "POST orders/{order}/shipments": (),
    "POST orders/{shipped}/returns": (),
    "POST orders/{order}/payments": ("kind", "amount", "reference"),
}


@pytest.mark.parametrize("examples", [20, pytest.param(80, marks=pytest.mark.slow)])
def test_no_body_is_a_500(make_shop: MakeShop, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(
        call=st.sampled_from(sorted(NEEDED)),
        odd=anything | st.dictionaries(st.sampled_from(FIELDS), anything, min_size=1, max_size=3),
        key=st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
    )
    def check(call: str, odd: Any, key: str | None) -> None:
        send(make_shop(), call, odd, key)

    check()


def send(shop: Shop, call: str, odd: Any, key: str | None) -> None:
    """Make the call, with what is odd in its body; whatever happens, everything can be read afterwards."""
    ids = {
        "storefront": shop.storefront["id"],
        "product": shop.product("MUG", stock=10)["id"],
        "order": shop.advance(shop.order(("MUG", 2)), "confirmed")["id"],
    }
    if "{shipped}" in call:
        ids["shipped"] = shop.advance(shop.order(("MUG", 2)), "confirmed", "shipped")["id"]
    method, path = call.format(**ids).split(" ")
    body = {name: VALID[name] for name in NEEDED[call]} | odd if isinstance(odd, dict) else odd

    answer = shop.api.request(method, f"{BASE}/{path}", body, idempotency_key=key)

    assert answer.status_code in (200, 201, 400, 409), answer.content
    for what, path in (("order", "orders"), ("product", "products"), ("storefront", "storefronts")):
        assert shop.api.get(f"{BASE}/{path}/{ids[what]}").status_code == 200
        assert shop.api.get(f"{BASE}/{path}").status_code == 200
    assert_ledger_agrees()
