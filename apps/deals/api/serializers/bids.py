"""Input of the bid calls."""

from typing import Any

from rest_framework import serializers

from apps.common.api.fields import Amount, Many, Uuid
from apps.common.api.pagination import PageQuery
from apps.common.api.serializers import Body
from apps.deals.enums import BidStatus

MAX_IDS = 500


class BidInput(Body):
    """What the caller would pay."""

    amount = Amount(min_value=1, help_text="In the minor unit of the deal's currency.")
    maximum = Amount(
        min_value=1,
        required=False,
        allow_null=True,
        help_text="Auctions only: up to here the bid rises by itself, as far as others make it.",
    )
    expires_at = serializers.DateTimeField(
        required=False,
        allow_null=True,
        help_text="RFC 3339: when the bid lapses by itself. Not in auctions, whose bids are binding.",
    )


class CounterInput(Body):
    """What the seller would sell for."""

    amount = Amount(min_value=1, help_text="In the minor unit of the deal's currency.")


class RejectionInput(Body):
    """Which bids to refuse: either of the two."""

    ids = Many(child=Uuid(), required=False, max_length=MAX_IDS, help_text="Of bids on this deal.")
    below = Amount(required=False, help_text="All active bids of less than this.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError("Send either `ids` or `below`.", code="one_of_two")
        return attrs


class BidsQuery(PageQuery):
    status = serializers.ChoiceField(choices=BidStatus.choices, required=False)
