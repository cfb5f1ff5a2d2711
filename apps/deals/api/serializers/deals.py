"""Input of the deal calls."""

from typing import Any

from rest_framework import serializers

from apps.common.api.fields import Amount, Choice, Currency, Integer, QueryInteger, Text, Uuid
from apps.common.api.pagination import PageQuery
from apps.common.api.serializers import Body
from apps.common.money import MAX_AMOUNT
from apps.deals.enums import DealStatus, DiscountType

MAX_ITEMS = 500

MAX_EXTENSION = 24 * 60 * 60

_ACCEPT = "A bid of this amount or more is accepted at once. Buyers never see it."
_REJECT = "A bid of less is rejected at once. Buyers never see it."
_ITEMS: dict[str, Any] = {"many": True, "min_length": 1, "max_length": MAX_ITEMS}
REFERENCE_LENGTH = 63  # of a slug; an id is shorter


class DiscountInput(Body):
    """A discount on the total price."""

    type = Choice(choices=DiscountType.choices)
    amount = Amount(
        help_text="Flat: in the currency's minor unit, at most the total price. "
        "Percentage: whole percent, 0 to 100."
    )


class AuctionInput(Body):
    """The terms of an auction."""

    ends_at = serializers.DateTimeField(help_text="RFC 3339.")
    minimum = Amount(min_value=1, help_text="The least first bid, in the minor unit.")
    increment = Amount(min_value=1, help_text="How much more the next bid must be at the least.")
    reserve = Amount(
        min_value=1,
        default=None,
        allow_null=True,
        help_text="Below it nothing is sold. Buyers only learn whether it is met.",
    )
    buy_now = Amount(
        min_value=1,
        default=None,
        allow_null=True,
        help_text="A bid of this amount buys the deal at once.",
    )
    extension_seconds = Integer(
        min_value=0,
        max_value=MAX_EXTENSION,
        default=0,
        help_text="A bid in the last so many seconds puts the end off to as long after the bid.",
    )


class DealItemInput(Body):
    """A part of a new deal."""

    name = Text(max_length=200)
    price = Amount(help_text="In the minor unit; independent of the deal's total price.")


class DealItemReplacement(DealItemInput):
    """A part of a deal, present or new."""

    id = Uuid(required=False, help_text="Of an item of this deal, to keep it; none to add an item.")


class DealInput(Body):
    """A new deal."""

    name = Text(max_length=200)
    total_price = Amount()
    currency = Currency(help_text="An active ISO 4217 code.")
    status = Choice(
        choices=[DealStatus.AVAILABLE.value],
        required=False,
        help_text="A deal starts as available; it is sold or withdrawn afterwards.",
    )
    discount = DiscountInput(required=False, allow_null=True)
    auto_accept_at = Amount(required=False, allow_null=True, help_text=_ACCEPT)
    auto_reject_below = Amount(required=False, allow_null=True, help_text=_REJECT)
    auction = AuctionInput(
        required=False, allow_null=True, help_text="The deal then closes by itself."
    )
    items = DealItemInput(**_ITEMS)


class DealReplacement(Body):
    """All of a deal, for PUT: without `status` it keeps the one it has. For PATCH, some of it."""

    name = Text(max_length=200)
    total_price = Amount()
    currency = Currency(help_text="An active ISO 4217 code.")
    status = Choice(choices=DealStatus.choices, required=False)
    discount = DiscountInput(
        default=None, allow_null=True, help_text="Null, or left out of PUT: no discount."
    )
    auto_accept_at = Amount(default=None, allow_null=True, help_text=_ACCEPT)
    auto_reject_below = Amount(default=None, allow_null=True, help_text=_REJECT)
    auction = AuctionInput(
        default=None, allow_null=True, help_text="Null, or left out of PUT: no auction."
    )
    items = DealItemReplacement(
        **_ITEMS,
        help_text="All of them: one with an id is updated, without one added, one left out deleted.",
    )


class DealsQuery(PageQuery):
    status = serializers.ChoiceField(choices=DealStatus.choices, required=False)
    seller = serializers.CharField(
        required=False, max_length=REFERENCE_LENGTH, help_text="Id or slug of an account."
    )
    currency = Currency(required=False, help_text="An ISO 4217 code.")
    min_price = QueryInteger(
        required=False, min_value=0, max_value=MAX_AMOUNT, help_text="Of `final_price`, inclusive."
    )
    max_price = QueryInteger(
        required=False, min_value=0, max_value=MAX_AMOUNT, help_text="Of `final_price`, inclusive."
    )
    updated_after = serializers.DateTimeField(
        required=False, help_text="RFC 3339; deals that changed later than this."
    )
