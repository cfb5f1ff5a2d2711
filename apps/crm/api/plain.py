"""The body of most customers and changes of them, looked at without the machinery of serializers (ADR 31).

Whatever is out of the ordinary is left to the serializer, which alone knows the rules and says what is wrong.
"""

import re
from typing import Any

import orjson

from apps.common.api.plain import is_plain_integer, is_plain_text
from apps.crm.enums import MAX_EMAIL, MAX_EXTERNAL_ID, MAX_NAME, MAX_PROPERTIES_BYTES

_EMPTY: dict[str, Any] = {"first_name": None, "last_name": None, "external_id": None}
_MEMBERS = frozenset({"email", "properties", *_EMPTY})
_EMAIL = re.compile(
    r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}"
)


def plain_customer(data: Any) -> dict[str, Any] | None:
    """What CustomerInput makes of a plain and faultless body; None for any other."""
    changes = plain_changes(data)
    if changes is None or "email" not in changes:
        return None
    properties = changes.get("properties", {})
    if None in properties.values():
        return None
    return {**_EMPTY, **changes, "properties": properties}


def plain_changes(data: Any) -> dict[str, Any] | None:
    """What CustomerChanges makes of a plain and faultless body; None for any other."""
    if type(data) is not dict or not data.keys() <= _MEMBERS:
        return None
    for name, value in data.items():
        match name:
            case "email":
                is_plain = _is_plain_email(value)
            case "properties":
                is_plain = _are_plain_properties(value)
            case "external_id":
                is_plain = value is None or is_plain_text(value, MAX_EXTERNAL_ID)
            case _:
                is_plain = value is None or is_plain_text(value, MAX_NAME)
        if not is_plain:
            return None
    return data


def _is_plain_email(value: Any) -> bool:
    return type(value) is str and len(value) <= MAX_EMAIL and _EMAIL.fullmatch(value) is not None


def _are_plain_properties(value: Any) -> bool:
    return (
        type(value) is dict
        and all(is_plain_text(name, 100) for name in value)
        and all(map(_is_plain_value, value.values()))
        and len(orjson.dumps(value)) <= MAX_PROPERTIES_BYTES
    )


def _is_plain_value(value: Any) -> bool:
    if type(value) is str:
        return value.isprintable()
    return value is None or type(value) is bool or is_plain_integer(value, -(2**63), 2**63 - 1)
