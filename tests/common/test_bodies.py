"""Bodies are strict: no coercion, nothing unknown, and what cannot be written may be sent back as it was."""

import contextlib
import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from apps.common.api.fields import Amount, Boolean, Choice, Currency, Integer, Metadata, Text, Uuid
from apps.common.api.parsers import StrictJSONParser
from apps.common.api.problems import flatten
from apps.common.api.serializers import Body, parse_body
from apps.common.money import MAX_AMOUNT
from tests.conftest import MakeClient
from tests.support import ApiClient

AN_ID = "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a11"


class Line(Body):
    id = Uuid(required=False)
    quantity = Integer(min_value=1)


class Thing(Body):
    text = Text(max_length=5, required=False)
    number = Integer(required=False)
    flag = Boolean(required=False)
    uuid = Uuid(required=False)
    choice = Choice(choices=["a", "b"], required=False)
    price = Amount(required=False)
    currency = Currency(required=False)
    metadata = Metadata(required=False)
    lines = serializers.ListField(child=Line(), max_length=3, required=False)
    things = Line(many=True, required=False)
    line = Line(required=False)
    size = Integer(default=1)


def parse(data: Any, current: dict[str, Any] | None = None) -> dict[str, Any]:
    sent = APIRequestFactory().patch("/", json.dumps(data), content_type="application/json")
    return parse_body(
        Thing, Request(sent, parsers=[StrictJSONParser()]), current=current, partial=True
    )


def faults(data: Any, current: dict[str, Any] | None = None) -> dict[str, str]:
    with pytest.raises(ValidationError) as raised:
        parse(data, current)
    return {fault["pointer"]: fault["code"] for fault in flatten(raised.value.detail)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", "abcde"),
        ("number", -5),
        ("number", 2**63 - 1),
        ("flag", False),
        ("choice", "b"),
        ("price", 0),
        ("price", MAX_AMOUNT),
        ("currency", "EUR"),
        ("metadata", {"a": [1, {"b": None}]}),
    ],
)
def test_a_value_of_the_right_type_is_taken_as_it_is(name: str, value: Any) -> None:
    assert parse({name: value}) == {name: value}


def test_a_partial_body_has_no_defaults_and_requires_nothing() -> None:
    assert parse({}) == {}


def test_an_id_becomes_a_uuid() -> None:
    assert parse({"uuid": AN_ID}) == {"uuid": UUID(AN_ID)}


JSON_VALUES = {
    "string": "1",
    "integer": 1,
    "real": 1.0,
    "true": True,
    "null": None,
    "array": [],
    "object": {},
}
FITTING = {
    "text": {"string"},
    "number": {"integer"},
    "flag": {"true"},
    "uuid": set(),
    "choice": set(),
    "price": {"integer"},
    "currency": set(),
    "metadata": {"object"},
    "lines": {"array"},
    "things": {"array"},
    "line": set(),
}


@pytest.mark.parametrize("kind", JSON_VALUES)
@pytest.mark.parametrize("name", FITTING)
def test_nothing_is_coerced(name: str, kind: str) -> None:
    if kind in FITTING[name]:
        parse({name: JSON_VALUES[kind]})
    else:
        assert all(pointer.startswith(f"/{name}") for pointer in faults({name: JSON_VALUES[kind]}))


@pytest.mark.parametrize(
    ("data", "pointer", "code"),
    [
        ({"text": "abcdef"}, "/text", "max_length"),
        ({"text": ""}, "/text", "blank"),
        ({"text": "   "}, "/text", "blank"),
        ({"number": 2**63}, "/number", "max_value"),
        ({"number": -(2**63) - 1}, "/number", "invalid"),
        ({"price": -1}, "/price", "min_value"),
        ({"price": MAX_AMOUNT + 1}, "/price", "max_value"),
        ({"currency": "XAU"}, "/currency", "unknown_currency"),
        ({"currency": "EURO"}, "/currency", "unknown_currency"),
        ({"metadata": {"a": "x" * 17_000}}, "/metadata", "too_large"),
        ({"lines": [{"quantity": 0}]}, "/lines/0/quantity", "min_value"),
        ({"lines": [{"quantity": 1}] * 4}, "/lines", "max_length"),
        ({"things": [{"quantity": 1}, {}, 5]}, "/things/2", "invalid"),
        ({"line": {"quantity": 1, "extra": 1}}, "/line/extra", "unknown_field"),
        ({"lines": [{"quantity": 1, "extra": 1}]}, "/lines/0/extra", "unknown_field"),
        ({"extra": None}, "/extra", "unknown_field"),
        ({"": 1}, "/", "unknown_field"),
        ({"a/b~": 1}, "/a~1b~0", "unknown_field"),
        ({"line": {}}, "/line/quantity", "required"),
        ({"lines": [{"quantity": 1}, {}]}, "/lines/1/quantity", "required"),
    ],
)
def test_a_wrong_place_is_pointed_at(data: dict[str, Any], pointer: str, code: str) -> None:
    assert faults(data)[pointer] == code


CURRENT = {
    "id": AN_ID,
    "total": 5,
    "created_at": "2026-11-21T00:00:00.000000Z",
    "lines": [{"id": AN_ID, "quantity": 1, "total": 3}],
    "things": [{"id": AN_ID, "quantity": 1, "total": 3}],
    "line": {"id": AN_ID, "quantity": 1, "total": 3},
}


def test_a_representation_may_be_sent_back_as_it_was() -> None:
    parsed = parse(CURRENT, CURRENT)

    line = {"id": UUID(AN_ID), "quantity": 1}
    assert parsed == {"lines": [line], "things": [line], "line": line}


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        ({"total": 6}, "/total"),
        ({"id": None}, "/id"),
        ({"line": {"quantity": 1, "total": 4}}, "/line/total"),
        ({"things": [{"id": AN_ID, "quantity": 2, "total": 4}]}, "/things/0/total"),
        ({"lines": [{"id": AN_ID, "quantity": 2, "total": 4}]}, "/lines/0/total"),
    ],
)
def test_what_cannot_be_written_is_refused_when_changed(data: dict[str, Any], pointer: str) -> None:
    assert faults(data, CURRENT) == {pointer: "read_only"}


def test_a_read_only_member_of_a_new_element_is_refused() -> None:
    data = {"things": [{"quantity": 2, "total": 3}]}

    assert faults(data, CURRENT) == {"/things/0/total": "unknown_field"}


_text = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*FITTING, "id", "extra"]), _json, max_size=4))
def test_any_json_is_taken_or_refused_with_pointers(data: dict[str, Any]) -> None:
    for current in (None, CURRENT):
        with contextlib.suppress(ValidationError):
            parse(data, current)


def test_an_account_may_be_sent_back_with_a_change(api: MakeClient) -> None:
    client = api()
    account = client.get("/api/v1/me").json()["account"]

    answer = client.patch("/api/v1/me", {**account, "name": "New name"})

    assert answer.status_code == 200
    assert answer.json()["account"]["name"] == "New name"


@pytest.mark.parametrize("name", ["id", "slug", "version", "created_at", "updated_at"])
def test_an_account_cannot_change_what_is_not_its_own_affair(someone: ApiClient, name: str) -> None:
    answer = someone.patch("/api/v1/me", {name: "other"})

    assert answer.status_code == 400
    assert [(f["pointer"], f["code"]) for f in answer.json()["errors"]] == [
        (f"/{name}", "read_only")
    ]
