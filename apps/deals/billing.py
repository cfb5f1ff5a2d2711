"""What an invoice adds up to, in whole minor units: lines, less discount, plus tax."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from apps.deals.pricing import Discount


@dataclass(frozen=True, slots=True)
class Bill:
    """`subtotal` - `discount_amount` = `net_amount`; `net_amount` + `tax_amount` = `total`."""

    subtotal: int
    discount: Discount | None
    discount_amount: int
    net_amount: int
    tax_rate: Decimal
    tax_amount: int
    total: int


def bill(
    *,
    agreed: int,
    total_price: int,
    discount: Discount | None,
    final_price: int,
    tax_rate: Decimal,
) -> Bill:
    """The bill of a deal that was sold for `agreed`, which is net: tax is added to it.

    A deal sold at its final price is billed at its total price less its discount. Any other price was
    agreed as a whole, and stands in the place of total price and discount.
    """
    keeps_discount = discount is not None and agreed == final_price < total_price
    subtotal = total_price if keeps_discount else agreed
    tax_amount = tax_on(agreed, tax_rate)
    return Bill(
        subtotal=subtotal,
        discount=discount if keeps_discount else None,
        discount_amount=subtotal - agreed,
        net_amount=agreed,
        tax_rate=tax_rate,
        tax_amount=tax_amount,
        total=agreed + tax_amount,
    )


def tax_on(net_amount: int, tax_rate: Decimal) -> int:
    """`tax_rate` percent of the whole net amount; half a minor unit is rounded up, as tax offices do.

    19 % of 50 is 9.5 and so 10. The check constraint of the invoices table says the same.
    """
    exact = net_amount * tax_rate / 100
    return int(exact.to_integral_value(rounding=ROUND_HALF_UP))
