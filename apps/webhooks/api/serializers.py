"""Input of the webhook calls."""

from typing import Any

from rest_framework import serializers

from apps.common.api.fields import Boolean, Choice, Integer, Many, Text
from apps.common.api.pagination import PageQuery
from apps.common.api.serializers import Body
from apps.common.outgoing import guard
from apps.events.catalogue import event_types
from apps.events.patterns import is_pattern, matches
from apps.webhooks.enums import DeliveryStatus, OnFailure, ReplayOnly
from apps.webhooks.errors import AddressNotAllowed
from apps.webhooks.replays import DEFAULT_RATE, MAX_RATE
from apps.webhooks.services import DEFAULT_GRACE_SECONDS, MAX_GRACE_SECONDS

MAX_EVENT_TYPES = 50
MAX_RATE_LIMIT = 1000


class TargetUrl(Text):
    """A URL that may be called as far as can be seen without DNS; its host comes out in ASCII."""

    default_error_messages = {"invalid_url": "{reason}"}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=guard.MAX_URL_LENGTH, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        try:
            return guard.parse(super().to_internal_value(data)).url
        except guard.UrlInvalid as error:
            self.fail("invalid_url", reason=str(error))
        except guard.AddressRefused as error:
            raise AddressNotAllowed.at_url() from error


class EventPattern(Text):
    """A type, a family like `deal.*`, or `*`; one that no type can match is a mistake."""

    default_error_messages = {
        "invalid_pattern": "{pattern!r} is neither a type, a family like `deal.*`, nor `*`.",
        "unknown_event_type": "No event type matches {pattern!r}. GET /event-types lists them all.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=60, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        pattern = super().to_internal_value(data)
        if not is_pattern(pattern):
            self.fail("invalid_pattern", pattern=pattern[:60])
        if not any(matches([pattern], kind.name) for kind in event_types()):
            self.fail("unknown_event_type", pattern=pattern[:60])
        return pattern


class WebhookEndpointInput(Body):
    url = TargetUrl(help_text="http or https; its address must be a public one.")
    event_types = Many(
        child=EventPattern(),
        min_length=1,
        max_length=MAX_EVENT_TYPES,
        help_text="Which events to send: types, families like `deal.*`, or `*` for all.",
    )
    description = Text(max_length=500, required=False, allow_blank=True)
    ordered = Boolean(
        required=False,
        help_text="Send the events of one subject one after the other. It holds for events from then on.",
    )
    on_failure = Choice(
        choices=OnFailure.choices,
        required=False,
        help_text="When `ordered` and a delivery fails: `block` holds its subject back, `park` sets the "
        "delivery aside after three retries.",
    )
    rate_limit = Integer(
        min_value=1,
        max_value=MAX_RATE_LIMIT,
        required=False,
        allow_null=True,
        help_text="Requests a second at most; null for no limit.",
    )


class SecretRotation(Body):
    grace_seconds = Integer(
        min_value=0,
        max_value=MAX_GRACE_SECONDS,
        default=DEFAULT_GRACE_SECONDS,
        help_text="How long the earlier secrets sign beside the new one.",
    )


class ReplayInput(Body):
    since = serializers.DateTimeField(help_text="Where it begins (RFC 3339).")
    until = serializers.DateTimeField(
        required=False, allow_null=True, help_text="Where it ends; now, unless it is earlier."
    )
    event_types = Many(
        child=EventPattern(),
        min_length=1,
        max_length=MAX_EVENT_TYPES,
        required=False,
        allow_null=True,
        help_text="Only these of what the endpoint listens to.",
    )
    only = Choice(
        choices=ReplayOnly.choices,
        help_text="`failed` deliveries, or `all` events, also those it has never got.",
    )
    rate = Integer(
        min_value=1,
        max_value=MAX_RATE,
        default=DEFAULT_RATE,
        help_text="How many are sent a second at most.",
    )


class DeliveriesQuery(PageQuery):
    status = serializers.ChoiceField(choices=DeliveryStatus.choices, required=False)
    event_type = EventPattern(required=False, help_text="A type or a family like `deal.*`.")
    replay_id = serializers.UUIDField(
        required=False, help_text="What this replay was the last to send again."
    )
    since = serializers.DateTimeField(
        required=False, help_text="Deliveries made at or after this time (RFC 3339)."
    )
