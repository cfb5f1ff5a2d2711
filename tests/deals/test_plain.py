"""The short way that the body of most deals takes leads where the serializer leads."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from apps.common.api.serializers import Body
from apps.common.money import MAX_AMOUNT
from apps.deals.api.plain import plain_deal
from apps.deals.api.serializers.deals import MAX_ITEMS, DealInput
from tests.deals.support import body
from tests.support.currencies import NO_CURRENCY

texts = st.sampled_from(["Chair", "", " ", " a", "a\n", "a b", "\x00", "é", "\u00a0", "x" * 201])
texts |= st.text(max_size=4) | st.just("x" * 200)
oddities: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.just([]) | st.just({})
)
amounts = st.sampled_from([0, 1, 100, 101, -1, MAX_AMOUNT, MAX_AMOUNT + 1, 2**70]) | oddities
discounts = (
    st.fixed_dictionaries(
        {"type": st.sampled_from(["flat", "percentage", "half"]) | oddities, "amount": amounts},
        optional={"note": texts},
    )
    | oddities
)
items = (
    st.fixed_dictionaries({"name": texts | oddities, "price": amounts}, optional={"id": texts})
    | oddities
)
bodies = st.fixed_dictionaries(
    {
        "name": texts | oddities,
        "total_price": amounts,
        "currency": st.sampled_from(["EUR", "JPY", "eur", NO_CURRENCY, "EUR ", ""]) | oddities,
        "items": st.lists(items, max_size=3) | oddities,
    },
    optional={
        "discount": discounts,
        "auto_accept_at": amounts,
        "auto_reject_below": amounts,
        "status": st.sampled_from(["available", "sold"]) | oddities,
        "auction": oddities,
        "note": texts,
    },
)


def by_serializer(data: Any) -> Any:
    """What the serializer itself makes of `data`; None when it refuses it."""
    try:
        return Body.run_validation(DealInput(), data)
    except ValidationError:
        return None


@given(bodies | oddities)
def test_it_agrees_with_the_serializer_or_leaves_the_body_to_it(data: Any) -> None:
    short = plain_deal(data)

    assert short is None or short == by_serializer(data)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"discount": None},
        {"discount": {"type": "percentage", "amount": 10}},
        {"auto_accept_at": 9_000, "auto_reject_below": None},
    ],
)
def test_the_usual_deal_takes_it(more: dict[str, Any]) -> None:
    data = body(**more)

    assert plain_deal(data) == by_serializer(data) is not None


def test_too_many_items_do_not_take_it() -> None:
    item = {"name": "Chair", "price": 1}

    assert plain_deal(body(items=[item] * MAX_ITEMS)) is not None
    assert plain_deal(body(items=[item] * (MAX_ITEMS + 1))) is None
