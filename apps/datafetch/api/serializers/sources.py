"""How a remote API is paged through, asked for what is newer, and told who asks."""

from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from apps.common.api.fields import Choice, Integer, Text
from apps.common.api.serializers import Body
from apps.datafetch.api.serializers.fields import (
    MAX_VALUE,
    HeaderValue,
    Kind,
    Name,
    Path,
    SourceUrl,
    is_header_name,
)


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
        if attrs["in"] == "header" and not is_header_name(name):
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
