"""Input of the stream calls."""

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cronsim import CronSim, CronSimError
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from apps.common.api.fields import Boolean, Choice, Integer, Many, QueryInteger, Text
from apps.common.api.pagination import DEFAULT_LIMIT, MAX_LIMIT
from apps.common.api.serializers import Body, Query
from apps.common.outgoing import guard
from apps.datafetch.enums import Edge, SchemaPolicy
from apps.datafetch.errors import ConsumerInvalid
from apps.datafetch.models import VERSIONS_KEPT
from apps.datafetch.sources.expressions import MAX_LENGTH, ExpressionInvalid, compiled
from apps.datafetch.sources.failures import is_sensitive

MAX_INTERVAL = 31 * 24 * 3600
MAX_ENTRIES = 50
MAX_FIELDS = 200
MAX_VALUE = 4000
MAX_RATE = 1000
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_CONSUMER = re.compile(r"[A-Za-z0-9._-]{1,100}")
# They belong to the connection, not to its user.
_OWN_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "upgrade"}
    | {"te", "trailer", "expect", "if-none-match", "if-modified-since", "proxy-authorization"}
    | {"range", "content-type", "keep-alive"}
)


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
            return bool(_HEADER_NAME.fullmatch(name)) and name.lower() not in _OWN_HEADERS
        return 0 < len(name) <= 100 and name.isprintable()


class CursorInput(Body):
    field = Path(
        min_length=1, help_text="JMESPath of the value that grows, in a record as it came."
    )
    param = Name(help_text="The query parameter that asks for what is newer.")
    initial = serializers.JSONField(
        required=False, allow_null=True, help_text="Where to begin: a text or a number."
    )
    lookback_seconds = Integer(min_value=0, max_value=366 * 24 * 3600, required=False)

    default_error_messages = {"invalid_initial": "A text of at most 200 characters, or a number."}

    def validate_initial(self, value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        is_text = isinstance(value, str) and len(value) <= 200 and value.isprintable()
        if value is not None and not is_text and not (is_number and abs(value) < 2**63):
            raise serializers.ValidationError(
                self.error_messages["invalid_initial"], code="invalid_initial"
            )
        return value


class NoPagination(Body):
    type = Choice(choices=["none"])


class NextLinkPagination(Body):
    type = Choice(choices=["next_link"])
    path = Path(min_length=1, help_text="JMESPath of the next page's URL in the body.")


class LinkHeaderPagination(Body):
    type = Choice(choices=["link_header"])


class PageNumberPagination(Body):
    type = Choice(choices=["page_number"])
    param = Name(default="page")
    start = Integer(min_value=0, max_value=1_000_000, default=1)
    size_param = Name(required=False)
    size = Integer(min_value=1, max_value=100_000, required=False)


class OffsetPagination(Body):
    type = Choice(choices=["offset"])
    param = Name(default="offset")
    limit_param = Name(default="limit")
    limit = Integer(min_value=1, max_value=100_000, default=100)


class CursorPagination(Body):
    type = Choice(choices=["cursor"])
    param = Name()
    path = Path(min_length=1, help_text="JMESPath of the next page's cursor in the body.")


class NoAuth(Body):
    type = Choice(choices=["none"])


class BearerAuth(Body):
    type = Choice(choices=["bearer"])
    token = HeaderValue(required=False, write_only=True)


class ApiKeyAuth(Body):
    type = Choice(choices=["api_key"])
    name = Name()
    value = HeaderValue(required=False, write_only=True)

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "in": Choice(choices=["header", "query"])}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        name = attrs["name"]
        is_header = attrs["in"] == "header"
        if is_header and (not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS):
            raise serializers.ValidationError({"name": "This cannot be a header's name."})
        return attrs


class BasicAuth(Body):
    type = Choice(choices=["basic"])
    username = Text(max_length=200, trim_whitespace=False)
    password = Text(max_length=MAX_VALUE, required=False, trim_whitespace=False, allow_blank=True)


class OAuth2Auth(Body):
    type = Choice(choices=["oauth2_client_credentials"])
    token_url = SourceUrl()
    client_id = Text(max_length=500, trim_whitespace=False)
    client_secret = Text(max_length=MAX_VALUE, required=False, trim_whitespace=False)
    scope = Text(max_length=1000, required=False)


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


PAGINATION: dict[str, type[Body]] = {
    "none": NoPagination,
    "next_link": NextLinkPagination,
    "link_header": LinkHeaderPagination,
    "page_number": PageNumberPagination,
    "offset": OffsetPagination,
    "cursor": CursorPagination,
}
AUTH: dict[str, type[Body]] = {
    "none": NoAuth,
    "bearer": BearerAuth,
    "api_key": ApiKeyAuth,
    "basic": BasicAuth,
    "oauth2_client_credentials": OAuth2Auth,
}


@extend_schema_field(
    PolymorphicProxySerializer("StreamPagination", {**PAGINATION}, resource_type_field_name="type")
)
class Pagination(Kind):
    """How to get from one page to the next."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(PAGINATION, **kwargs)


@extend_schema_field(
    PolymorphicProxySerializer("StreamAuth", {**AUTH}, resource_type_field_name="type")
)
class Auth(Kind):
    """How to prove who asks."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(AUTH, **kwargs)


class StreamInput(Body):
    name = Text(max_length=200)
    url = SourceUrl(help_text="http or https; its address must be a public one.")
    interval_seconds = Integer(
        min_value=1,
        max_value=MAX_INTERVAL,
        required=False,
        allow_null=True,
        help_text="Every 300 s unless said otherwise.",
    )
    cron = Text(max_length=100, required=False, allow_null=True, help_text="In UTC, in its place.")
    records_path = Path(
        required=False, allow_blank=True, help_text="JMESPath of the records; else the body itself."
    )
    primary_key = Keys(
        required=False,
        allow_null=True,
        help_text="JMESPath of what tells records apart, or several; else their content does.",
    )
    cursor = CursorInput(required=False, allow_null=True)
    pagination = Pagination(required=False)
    auth = Auth(required=False, help_text="Its secrets are never shown again.")
    headers = Entries(
        child=HeaderValue(allow_null=True, allow_blank=True),
        most=MAX_ENTRIES,
        is_header=True,
        required=False,
    )
    params = Entries(
        child=Text(max_length=MAX_VALUE, allow_null=True, allow_blank=True, trim_whitespace=False),
        most=MAX_ENTRIES,
        required=False,
    )
    mapping = Entries(
        child=Path(min_length=1),
        most=MAX_FIELDS,
        required=False,
        allow_null=True,
        help_text="Fields of the stored record, each a JMESPath into the record as it came.",
    )
    schema_policy = Choice(
        choices=SchemaPolicy.values,
        required=False,
        help_text=(
            "When records look new: `evolve` stores them, `freeze` fails the run, `reject` sets them aside."
        ),
    )
    rate_limit = Number(
        min_value=0.001,
        max_value=MAX_RATE,
        required=False,
        allow_null=True,
        help_text="Requests a second at most, to the URL's host, over all your streams.",
    )

    default_error_messages = {"invalid_cron": "Not a cron expression: {reason}"}

    def validate_cron(self, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            next(CronSim(value, datetime.now(UTC)))
        except (CronSimError, StopIteration) as error:
            detail = self.error_messages["invalid_cron"].format(reason=error or "it never comes")
            raise serializers.ValidationError(detail, code="invalid_cron") from error
        return value


class RunInput(Body):
    full_refresh = Boolean(
        default=False, help_text="Read all from the cursor's beginning, and see what was deleted."
    )
    allow_deletes = Boolean(
        default=False, help_text="Believe that records have vanished, however many."
    )


_CONSUMER_NAME = "A consumer's name has 1 to 100 letters, digits, dots, dashes and underscores."


class ConsumerName(Text):
    """Letters, digits, `.`, `_` and `-`, as they stand in a path."""

    default_error_messages = {"invalid_name": _CONSUMER_NAME}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=100, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if not _CONSUMER.fullmatch(name):
            self.fail("invalid_name")
        return name


def consumer_name(text: str) -> str:
    """The name in a path; raises ConsumerInvalid."""
    if not _CONSUMER.fullmatch(text):
        raise ConsumerInvalid.at("", "invalid_name", _CONSUMER_NAME)
    return text


class RecordsQuery(Query):
    after = QueryInteger(
        min_value=0, max_value=2**63 - 1, required=False, help_text="The last offset that you have."
    )
    limit = QueryInteger(
        min_value=1,
        max_value=2**31 - 1,
        required=False,
        help_text=f"A page of JSON has {DEFAULT_LIMIT} unless you say otherwise and {MAX_LIMIT} at most; "
        "a file has all.",
    )
    consumer = ConsumerName(required=False, help_text="Who reads: what it has not committed yet.")
    commit = serializers.ChoiceField(
        choices=["auto"], required=False, help_text="Move the consumer past what is read."
    )
    as_of = serializers.DateTimeField(
        required=False,
        help_text="Only the versions that were the present ones then (RFC 3339; up to 30 days ago).",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "consumer" in attrs:
            for other in ("after", "as_of"):
                if other in attrs:
                    raise _not_with_consumer(other)
        elif "commit" in attrs:
            raise serializers.ValidationError(
                {"consumer": ["Who is to be moved?"]}, code="required"
            )
        if "as_of" in attrs and attrs["as_of"] < datetime.now(UTC) - VERSIONS_KEPT:
            detail = f"Versions are kept for {VERSIONS_KEPT.days} days."
            raise serializers.ValidationError({"as_of": [detail]}, code="too_long_ago")
        return attrs


def _not_with_consumer(name: str) -> serializers.ValidationError:
    detail = "A consumer has its own place: leave this out, or set it there."
    return serializers.ValidationError({name: [detail]}, code="not_with_consumer")


class CommitInput(Body):
    offset = Integer(min_value=0, help_text="Of the last record that was worked off; 0 for none.")
    expected = Integer(
        min_value=0, required=False, help_text="Where it is, as you believe: else nothing changes."
    )


class SeekInput(Body):
    to = Choice(choices=Edge.values, required=False)
    offset = Integer(min_value=0, required=False)
    time = serializers.DateTimeField(required=False, help_text="RFC 3339.")

    default_error_messages = {"one_of": "Send one of to, offset and time."}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError(self.error_messages["one_of"], code="one_of")
        return attrs
