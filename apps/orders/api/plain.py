"""The body of most orders, looked at without the machinery of serializers, which takes longer than all
else that a request does here before it asks the database.

Whatever is out of the ordinary is left to the serializer, which alone knows the rules and says what is wrong.
"""

from typing import Any

from apps.orders.enums import MAX_LINES, MAX_QUANTITY

_MEMBERS = frozenset({"storefront", "customer_id", "items", "external_id"})


def plain_order(data: Any) -> dict[str, Any] | None:
    """What OrderInput makes of a plain and faultless body; None for any other."""
    if type(data) is not dict or not data.keys() <= _MEMBERS:
        return None
    external_id = data.get("external_id")
    items = data.get("items")
    if (
        not _is_plain(data.get("storefront"), 63)
        or not _is_plain(data.get("customer_id"), 100)
        or not (external_id is None or _is_plain(external_id, 100))
        or type(items) is not list
        or not 1 <= len(items) <= MAX_LINES
        or not all(map(_is_plain_item, items))
    ):
        return None
    return {**data, "external_id": external_id, "shipping_address": None, "metadata": {}}


def _is_plain_item(item: Any) -> bool:
    if type(item) is not dict or item.keys() != {"sku", "quantity"}:
        return False
    quantity = item["quantity"]
    return (
        type(quantity) is int  # a bool is an int, of another type
        and 1 <= quantity <= MAX_QUANTITY
        and _is_plain(item["sku"], 100)
    )


def _is_plain(text: Any, max_length: int) -> bool:
    """Text with nothing in it to trim or to refuse."""
    return (
        type(text) is str
        and 0 < len(text) <= max_length
        and text.isprintable()
        and not text[0].isspace()
        and not text[-1].isspace()
    )
