"""The short way that the body of most orders takes leads where the serializer leads."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from apps.common.api.serializers import Body
from apps.orders.api.plain import plain_order
from apps.orders.api.serializers import OrderInput
from apps.orders.enums import MAX_LINES, MAX_QUANTITY

PLAIN: dict[str, Any] = {
    "storefront": "web",
    "customer_id": "c-1",
    "items": [{"sku": "MUG", "quantity": 1}, {"sku": "TEA", "quantity": MAX_QUANTITY}],
}

texts = st.sampled_from(["MUG", "", " ", " a", "a\n", "a b", "\x00", "é", "\u00a0", "x" * 101])
texts |= st.text(max_size=4) | st.sampled_from([63, 64, 100]).map(lambda length: "x" * length)
oddities: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.just([]) | st.just({})
)
quantities = (
    st.integers(-1, 3) | st.sampled_from([MAX_QUANTITY, MAX_QUANTITY + 1, 2**70]) | oddities
)
items = st.dictionaries(st.sampled_from(["sku", "quantity", "price"]), texts | quantities) | (
    st.fixed_dictionaries({"sku": texts | oddities, "quantity": quantities})
)
bodies = st.fixed_dictionaries(
    {
        "storefront": texts | oddities,
        "customer_id": texts | st.integers(),
        "items": st.lists(items | oddities, max_size=3) | oddities,
    },
    optional={
        "external_id": texts | oddities,
        "metadata": oddities,
        "shipping_address": oddities,
        "note": texts,
    },
)


def by_serializer(data: Any) -> Any:
    """What the serializer itself makes of `data`; None when it refuses it."""
    try:
        return Body.run_validation(OrderInput(), data)
    except ValidationError:
        return None


@given(bodies | oddities)
def test_it_agrees_with_the_serializer_or_leaves_the_body_to_it(data: Any) -> None:
    short = plain_order(data)

    assert short is None or short == by_serializer(data)


@pytest.mark.parametrize("more", [{}, {"external_id": None}, {"external_id": "shop-1"}])
def test_the_usual_order_takes_it(more: dict[str, Any]) -> None:
    data = PLAIN | more

    assert plain_order(data) == by_serializer(data) is not None


def test_too_many_lines_do_not_take_it() -> None:
    line = {"sku": "MUG", "quantity": 1}

    assert plain_order(PLAIN | {"items": [line] * MAX_LINES}) is not None
    assert plain_order(PLAIN | {"items": [line] * (MAX_LINES + 1)}) is None
