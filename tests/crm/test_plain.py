"""The short way that plain bodies of customers take leads where the serializers lead."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from apps.common.api.serializers import Body, parse_body
from apps.crm.api.plain import plain_changes, plain_customer
from apps.crm.api.serializers import CustomerChanges, CustomerInput
from apps.crm.enums import MAX_PROPERTIES_BYTES

texts = st.sampled_from(["Ada", "", " ", " a", "a\n", "a b", "\x00", "é", " ", "x" * 201])
texts |= st.text(max_size=4) | st.sampled_from([100, 101, 200]).map(lambda length: "x" * length)
emails = st.sampled_from(
    [
        *(
            "ada@example.com",
            "a.b+c@x-y.example",
            "ADA@example.com",
            "ada",
            "a@b",
            "@b.co",
            "a@b.c",
        ),
        *(".a@b.co", "a.@b.co", "a..b@b.co", "a@-b.co", "a@b-.co", "a@b..co", "a@b.co-", "a@b.c1"),
        *("a b@c.co", "a@b.co\n", "a@[1.2.3.4]", "é@b.co", "a@é.co", "a" * 250 + "@b.co"),
        *("a@" + "b" * 63 + ".co", "a@" + "b" * 64 + ".co", "a@b." + "c" * 64, "a" * 248 + "@b.co"),
    ]
)
emails |= st.from_regex(r"[a-z.@-]{1,12}@[a-z.-]{1,8}", fullmatch=True)
oddities: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.just([]) | st.just({})
)
numbers = st.sampled_from([0, -1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1])
properties = st.dictionaries(texts | st.just("tier"), texts | numbers | oddities, max_size=3)
properties |= st.just({"long": "x" * MAX_PROPERTIES_BYTES})
bodies = st.fixed_dictionaries(
    {},
    optional={
        "email": emails | texts | oddities,
        "first_name": texts | oddities,
        "last_name": texts | oddities,
        "external_id": texts | oddities,
        "properties": properties | oddities,
        "id": texts,
    },
)


class Sent:
    """A request, as far as `parse_body` looks at it."""

    def __init__(self, data: Any) -> None:
        self.data = data


def new(data: Any) -> Any:
    """What the serializer itself makes of a new customer; None when it refuses it."""
    try:
        return Body.run_validation(CustomerInput(), data)
    except ValidationError:
        return None


def changed(data: Any) -> Any:
    """The same, of a change."""
    try:
        return parse_body(CustomerChanges, Sent(data), current={}, partial=True)  # type: ignore[arg-type]
    except ValidationError:
        return None


@given(bodies | oddities)
def test_a_new_customer_is_what_the_serializer_makes_or_left_to_it(data: Any) -> None:
    short = plain_customer(data)

    assert short is None or short == new(data)


@given(bodies | oddities)
def test_a_change_is_what_the_serializer_makes_or_left_to_it(data: Any) -> None:
    short = plain_changes(data)

    assert short is None or short == changed(data)


@pytest.mark.parametrize(
    "data",
    [
        {"email": "ada@example.com"},
        {"email": "ada@example.com", "first_name": "Ada", "last_name": None},
        {"email": "ada@example.com", "external_id": "c-1", "properties": {"tier": "gold", "n": 1}},
    ],
)
def test_usual_customers_take_it(data: dict[str, Any]) -> None:
    assert plain_customer(data) == new(data) is not None


@pytest.mark.parametrize(
    "data",
    [{}, {"first_name": "Ada"}, {"external_id": None}, {"properties": {"tier": "a", "old": None}}],
)
def test_usual_changes_take_it(data: dict[str, Any]) -> None:
    assert plain_changes(data) == changed(data) is not None
