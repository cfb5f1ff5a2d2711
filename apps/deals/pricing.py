"""What a buyer pays: the total price after the discount, in whole minor units."""

from typing import NamedTuple

from apps.common.errors import Fault
from apps.deals.enums import DiscountType

PERCENT = 100


class Discount(NamedTuple):
    """`amount` is in minor units when flat, a whole number of percent otherwise."""

    type: DiscountType
    amount: int


def discount_fault(total_price: int, discount: Discount | None) -> Fault | None:
    """What is wrong with the discount; None when it may be given on `total_price`."""
    if discount is None:
        return None
    if discount.type == DiscountType.PERCENTAGE and discount.amount > PERCENT:
        return Fault("/discount/amount", "max_value", "A percentage is from 0 to 100.")
    if discount.type == DiscountType.FLAT and discount.amount > total_price:
        detail = f"A flat discount may not be above the total price, {total_price}."
        return Fault("/discount/amount", "discount_above_total", detail)
    return None


def final_price(total_price: int, discount: Discount | None) -> int:
    """The total price less the discount; a half of a minor unit is rounded up.

    10 % off 1005 leaves 904.5 and so 905. The check constraint of the deals table says the same.
    """
    if discount is None:
        return total_price
    if discount.type == DiscountType.FLAT:
        return total_price - discount.amount
    return (total_price * (PERCENT - discount.amount) + PERCENT // 2) // PERCENT
