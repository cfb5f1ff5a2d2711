"""Strict fields: a JSON string is a string, a JSON number a number, and nothing is coerced."""

import re
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from rest_framework import serializers

from apps.common.money import MAX_AMOUNT, is_currency

_DIGITS = re.compile(r"-?[0-9]{1,19}")


class Text(serializers.CharField):
    """A JSON string; `max_length` is required, so that every text has a bound."""

    def __init__(self, *, max_length: int, **kwargs: Any) -> None:
        super().__init__(max_length=max_length, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        return text


class Integer(serializers.IntegerField):
    """A JSON integer within the range of a bigint."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("min_value", -(2**63))
        kwargs.setdefault("max_value", 2**63 - 1)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class QueryInteger(serializers.IntegerField):
    """An integer of a URL's query: ASCII digits alone, perhaps after a minus."""

    def to_internal_value(self, data: Any) -> int:
        if not _DIGITS.fullmatch(data):
            self.fail("invalid")
        value: int = super().to_internal_value(data)
        return value


class Boolean(serializers.BooleanField):
    """JSON true or false."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Uuid(serializers.UUIDField):
    """A UUID as a JSON string."""

    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        value: UUID = super().to_internal_value(data)
        return value


class Choice(serializers.ChoiceField):
    """One of some strings."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data)
        value: str = super().to_internal_value(data)
        return value


class Amount(Integer):
    """Money: an integer in the currency's minor unit, zero or more."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("min_value", 0)
        kwargs.setdefault("max_value", MAX_AMOUNT)
        kwargs.setdefault("help_text", "In the currency's minor unit (cents).")
        super().__init__(**kwargs)


class Currency(Text):
    """An active ISO 4217 code."""

    default_error_messages = {"unknown_currency": "Not an active ISO 4217 currency code."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=3, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        code = super().to_internal_value(data)
        if not is_currency(code):
            self.fail("unknown_currency")
        return code


class Percent(serializers.DecimalField):
    """A JSON number from 0 to 100 with two decimals at the most."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=5, decimal_places=2, min_value=0, max_value=100, **kwargs)

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        value: Decimal = super().to_internal_value(str(data))
        return value


class Many(serializers.ListField):
    """A JSON array of at most `max_length` elements, which are not looked at when there are more."""

    def __init__(self, *, max_length: int, **kwargs: Any) -> None:
        self.most = max_length
        super().__init__(max_length=max_length, **kwargs)

    def to_internal_value(self, data: Any) -> list[Any]:
        if isinstance(data, list) and len(data) > self.most:
            detail = self.error_messages["max_length"].format(max_length=self.most)
            raise serializers.ValidationError(detail, code="max_length")
        values: list[Any] = super().to_internal_value(data)
        return values


class Metadata(serializers.DictField):
    """A JSON object of the caller's own, 16 kB at the most."""

    default_error_messages = {
        "too_large": "Metadata may have 16,384 bytes as JSON at the most.",
        "number_too_large": "Its numbers may be up to ±2^63; send a larger one as a string.",
    }
    max_bytes = 16_384

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        value: dict[str, Any] = super().to_internal_value(data)
        if len(orjson.dumps(value)) > self.max_bytes:
            self.fail("too_large")
        if _has_huge_number(value):
            self.fail("number_too_large")
        return value


def _has_huge_number(node: Any) -> bool:
    """Whether jsonb would give back, for a float of `node`, an integer that no JSON of ours can hold."""
    if isinstance(node, dict):
        return any(map(_has_huge_number, node.values()))
    if isinstance(node, list):
        return any(map(_has_huge_number, node))
    return isinstance(node, float) and abs(node) >= 2**63
