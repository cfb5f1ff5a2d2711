"""Parameters of the feed."""

from typing import Any

from rest_framework import serializers

from apps.common.api.fields import QueryInteger
from apps.common.api.pagination import DEFAULT_LIMIT, MAX_LIMIT
from apps.common.api.serializers import Query
from apps.events.patterns import is_pattern

MAX_PATTERNS = 20


class TypesField(serializers.CharField):
    """Patterns of event types, separated by commas."""

    default_error_messages = {
        "invalid_pattern": "{pattern!r} is neither a type, a family like `deal.*`, nor `*`.",
        "too_many": f"{MAX_PATTERNS} patterns at the most.",
    }

    def to_internal_value(self, data: Any) -> Any:
        patterns = [part.strip() for part in super().to_internal_value(data).split(",")]
        if len(patterns) > MAX_PATTERNS:
            self.fail("too_many")
        for pattern in patterns:
            if not is_pattern(pattern):
                self.fail("invalid_pattern", pattern=pattern)
        return patterns


class FeedQuery(Query):
    after = QueryInteger(
        min_value=0,
        max_value=2**63 - 1,
        default=0,
        help_text="The position of the last event you handled.",
    )
    types = TypesField(
        required=False, max_length=2000, help_text="e.g. `deal.*,order.created`; default all."
    )
    limit = QueryInteger(min_value=1, max_value=MAX_LIMIT, default=DEFAULT_LIMIT)
