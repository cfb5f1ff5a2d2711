"""Members of a stream's configuration."""

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.common.api.fields import Many, Text
from apps.common.api.serializers import Body
from apps.common.outgoing import guard
from apps.datafetch.sources.expressions import MAX_LENGTH, ExpressionInvalid, compiled
from apps.datafetch.sources.failures import is_sensitive

MAX_VALUE = 4000
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
# They belong to the connection, not to its user.
_OWN_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "upgrade"}
    | {"te", "trailer", "expect", "if-none-match", "if-modified-since", "proxy-authorization"}
    | {"range", "content-type", "keep-alive"}
)


def is_header_name(name: str) -> bool:
    """Whether a stream may send a header of this name."""
    return bool(_HEADER_NAME.fullmatch(name)) and name.lower() not in _OWN_HEADERS


class SourceUrl(Text):
    """A URL that may be called as far as can be seen without DNS; its host comes out in ASCII."""

    default_error_messages = {
        "invalid_url": "{reason}",
        "address_not_allowed": "The URL leads to an address that is not allowed: it must be a public one.",
        "secret_in_url": "{name!r} looks like a secret: send it in `params` or `auth`, where it is kept.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=guard.MAX_URL_LENGTH, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        try:
            url = guard.parse(super().to_internal_value(data)).url
        except guard.UrlInvalid as error:
            self.fail("invalid_url", reason=str(error))
        except guard.AddressRefused:
            self.fail("address_not_allowed")
        for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True):
            if is_sensitive(name):
                self.fail("secret_in_url", name=name[:100])
        return url.partition("#")[0]


class Path(Text):
    """A JMESPath expression."""

    default_error_messages = {"invalid_expression": "{reason}"}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_LENGTH, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        try:
            if text:
                compiled(text)
        except ExpressionInvalid as error:
            self.fail("invalid_expression", reason=str(error))
        return text


class Name(Text):
    """Of a query parameter or the like: printable, as it is sent."""

    default_error_messages = {"not_printable": "A name has no spaces or control characters."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=100, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not text.isprintable() or " " in text:
            self.fail("not_printable")
        return text


class HeaderValue(Text):
    """What can stand in a header: printable ASCII (a secret too is sent as it is)."""

    default_error_messages = {"not_ascii": "It must be printable ASCII."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_VALUE, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not (text.isascii() and text.isprintable()) or text != text.strip():
            self.fail("not_ascii")
        return text


class Number(serializers.FloatField):
    """A JSON number."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        value: float = super().to_internal_value(data)
        return value


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH},
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 8},
        ]
    }
)
class Keys(serializers.Field):  # type: ignore[type-arg]  # generic in the stubs alone
    """One JMESPath, or an array of up to 8."""

    _one = Path(min_length=1)
    _many = Many(child=Path(min_length=1), min_length=1, max_length=8)

    def to_internal_value(self, data: Any) -> Any:
        field = self._many if isinstance(data, list) else self._one
        return field.run_validation(data)


class Entries(serializers.DictField):
    """A JSON object of up to `most` members; an unlike one is pointed at by its name."""

    default_error_messages = {
        "too_many": "There are at most {most} entries.",
        "invalid_name": "{name!r} cannot be a name here.",
    }

    def __init__(self, *, most: int, is_header: bool = False, **kwargs: Any) -> None:
        self.most = most
        self.is_header = is_header
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, dict):
            if len(data) > self.most:
                self.fail("too_many", most=self.most)
            for name in data:
                if not self._fits(name):
                    self.fail("invalid_name", name=str(name)[:100])
        value: dict[str, Any] = super().to_internal_value(data)
        return value

    def _fits(self, name: str) -> bool:
        if self.is_header:
            return is_header_name(name)
        return 0 < len(name) <= 100 and name.isprintable()


class Kind(serializers.Field):  # type: ignore[type-arg]  # generic in the stubs alone
    """An object of one of several kinds, told apart by its `type`."""

    default_error_messages = {
        "not_an_object": "Send an object.",
        "unknown_type": "type must be one of {names}.",
    }

    def __init__(self, kinds: dict[str, type[Body]], **kwargs: Any) -> None:
        self.kinds = kinds
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("not_an_object")
        name = data.get("type")
        if not isinstance(name, str) or name not in self.kinds:
            detail = self.error_messages["unknown_type"].format(names=", ".join(self.kinds))
            raise serializers.ValidationError({"type": [detail]}, code="unknown_type")
        parsed = self.kinds[name](data=data)
        parsed.is_valid(raise_exception=True)
        value: dict[str, Any] = dict(parsed.validated_data)
        return value
