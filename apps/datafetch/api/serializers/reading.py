"""Input of the calls that read records."""

import re
from datetime import UTC, datetime
from typing import Any

from rest_framework import serializers

from apps.common.api.fields import Choice, Integer, QueryInteger, Text
from apps.common.api.pagination import DEFAULT_LIMIT, MAX_LIMIT
from apps.common.api.serializers import Body, Query
from apps.datafetch.enums import Edge
from apps.datafetch.errors import ConsumerInvalid
from apps.datafetch.models import VERSIONS_KEPT

_CONSUMER = re.compile(r"[A-Za-z0-9._-]{1,100}")
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
