"""Input of the deal calls."""

from typing import Any

from rest_framework import serializers

from apps.common.api.fields import Amount, Choice, Currency, Text, Uuid
from apps.common.api.pagination import PageQuery
from apps.common.api.serializers import Body
from apps.common.money import MAX_AMOUNT
from apps.deals.enums import DealStatus, DiscountType

MAX_ITEMS = 500

_ITEMS: dict[str, Any] = {"many": True, "min_length": 1, "max_length": MAX_ITEMS}
_REFERENCE_LENGTH = 63  # of a slug; an id is shorter


class DiscountInput(Body):
    type = Choice(choices=DiscountType.choices)
    amount = Amount(
        help_text="Flat: in the currency's minor unit, at most the total price. "
        "Percentage: whole percent, 0 to 100."
    )


class DealItemInput(Body):
    name = Text(max_length=200)
    price = Amount(help_text="In the minor unit; independent of the deal's total price.")


class DealItemReplacement(DealItemInput):
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
    items = DealItemInput(**_ITEMS)


class DealReplacement(Body):
    """All of a deal: what is left out of it is gone, but for `status`."""

    name = Text(max_length=200)
    total_price = Amount()
    currency = Currency(help_text="An active ISO 4217 code.")
    status = Choice(choices=DealStatus.choices, required=False)
    discount = DiscountInput(
        default=None, allow_null=True, help_text="Left out or null: no discount."
    )
    items = DealItemReplacement(**_ITEMS)


class DealChanges(Body):
    """Some of a deal. Not `partial`, which would let items lack their parts."""

    name = Text(max_length=200, required=False)
    total_price = Amount(required=False)
    currency = Currency(required=False, help_text="An active ISO 4217 code.")
    status = Choice(choices=DealStatus.choices, required=False)
    discount = DiscountInput(required=False, allow_null=True, help_text="Null: no discount.")
    items = DealItemReplacement(
        **_ITEMS, required=False, help_text="Replaces all items, as PUT does."
    )


class DealsQuery(PageQuery):
    status = serializers.ChoiceField(choices=DealStatus.choices, required=False)
    seller = serializers.CharField(
        required=False, max_length=_REFERENCE_LENGTH, help_text="Id or slug of an account."
    )
    currency = Currency(required=False, help_text="An ISO 4217 code.")
    min_price = serializers.IntegerField(
        required=False, min_value=0, max_value=MAX_AMOUNT, help_text="Of `final_price`, inclusive."
    )
    max_price = serializers.IntegerField(
        required=False, min_value=0, max_value=MAX_AMOUNT, help_text="Of `final_price`, inclusive."
    )
    updated_after = serializers.DateTimeField(
        required=False, help_text="RFC 3339; deals that changed later than this."
    )


class AuthorizationInput(Body):
    buyer = Text(max_length=_REFERENCE_LENGTH, help_text="Id or slug of the buyer's account.")
