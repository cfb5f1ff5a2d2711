"""The body of most new deals, looked at without the machinery of serializers (ADR 31).

Whatever is out of the ordinary is left to the serializer, which alone knows the rules and says what is wrong.
"""

from typing import Any

from apps.common.api.plain import is_plain_integer, is_plain_text
from apps.common.money import MAX_AMOUNT, is_currency
from apps.deals.api.serializers.deals import MAX_ITEMS
from apps.deals.enums import DiscountType

_REQUIRED = frozenset({"name", "total_price", "currency", "items"})
_THRESHOLDS = frozenset({"auto_accept_at", "auto_reject_below"})
_MEMBERS = _REQUIRED | _THRESHOLDS | {"discount"}
_TYPES = frozenset(DiscountType.values)
_DISCOUNT = {"type", "amount"}
_ITEM = {"name", "price"}


def plain_deal(data: Any) -> dict[str, Any] | None:
    """What DealInput makes of a plain and faultless body; None for any other."""
    if type(data) is not dict or not _REQUIRED <= data.keys() <= _MEMBERS:
        return None
    items, currency = data["items"], data["currency"]
    if (
        not is_plain_text(data["name"], 200)
        or not _is_amount(data["total_price"])
        or type(currency) is not str
        or not is_currency(currency)
        or not _is_plain_discount(data.get("discount"))
        or not all(data.get(name) is None or _is_amount(data[name]) for name in _THRESHOLDS)
        or type(items) is not list
        or not 1 <= len(items) <= MAX_ITEMS
        or not all(map(_is_plain_item, items))
    ):
        return None
    return data


def _is_plain_discount(discount: Any) -> bool:
    if discount is None:
        return True
    return (
        type(discount) is dict
        and discount.keys() == _DISCOUNT
        and type(discount["type"]) is str
        and discount["type"] in _TYPES
        and _is_amount(discount["amount"])
    )


def _is_plain_item(item: Any) -> bool:
    return (
        type(item) is dict
        and item.keys() == _ITEM
        and is_plain_text(item["name"], 200)
        and _is_amount(item["price"])
    )


def _is_amount(number: Any) -> bool:
    return is_plain_integer(number, 0, MAX_AMOUNT)
