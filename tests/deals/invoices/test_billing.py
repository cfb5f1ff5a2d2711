"""What an invoice adds up to, for any price, discount and tax rate; the database counts alike."""

from decimal import Decimal
from fractions import Fraction

import pytest
from django.db import connection
from hypothesis import example, given
from hypothesis import strategies as st

from apps.common.money import MAX_AMOUNT
from apps.deals.billing import bill, tax_on
from apps.deals.enums import DiscountType
from apps.deals.pricing import Discount, final_price

amounts = st.integers(0, MAX_AMOUNT)
rates = st.decimals(0, 100, places=2)
discounts = st.one_of(
    st.none(),
    st.builds(Discount, st.just(DiscountType.PERCENTAGE), st.integers(0, 100)),
    st.builds(Discount, st.just(DiscountType.FLAT), amounts),
)


@given(amounts, amounts, discounts, rates, st.booleans())
def test_lines_less_discount_plus_tax_are_the_total(
    total_price: int, agreed: int, discount: Discount | None, rate: Decimal, at_final_price: bool
) -> None:
    if discount is not None and discount.type is DiscountType.FLAT:
        discount = discount._replace(amount=min(discount.amount, total_price))
    final = final_price(total_price, discount)
    agreed = final if at_final_price else agreed

    made = bill(
        agreed=agreed,
        total_price=total_price,
        discount=discount,
        final_price=final,
        tax_rate=rate,
    )

    assert made.net_amount == agreed
    assert made.subtotal - made.discount_amount == made.net_amount
    assert made.net_amount + made.tax_amount == made.total
    assert made.discount_amount >= 0
    assert (made.discount is None) == (made.discount_amount == 0)


@given(amounts, rates)
@example(50, Decimal("19.00"))
@example(MAX_AMOUNT, Decimal("99.99"))
def test_tax_is_the_nearest_minor_unit_and_a_half_goes_up(net: int, rate: Decimal) -> None:
    exact = Fraction(net) * Fraction(rate) / 100

    tax = tax_on(net, rate)

    assert -Fraction(1, 2) <= exact - tax < Fraction(1, 2)


@pytest.mark.parametrize(
    ("net", "rate", "tax"),
    [
        (50, "19", 10),
        (49, "19", 9),
        (1, "50", 1),
        (1, "49.99", 0),
        (0, "20", 0),
        (12_345, "8.1", 1_000),
    ],
)
def test_examples(net: int, rate: str, tax: int) -> None:
    assert tax_on(net, Decimal(rate)) == tax


@pytest.mark.django_db
@given(amounts, rates)
@example(MAX_AMOUNT, Decimal("99.99"))
@example(999_999_999_999_950, Decimal("0.01"))
def test_the_check_of_the_table_counts_alike(net: int, rate: Decimal) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'invoice_adds_up'"
        )
        check = cursor.fetchone()[0].removeprefix("CHECK ")
        tax = tax_on(net, rate)
        row = (
            "SELECT %s::bigint AS subtotal, 0::bigint AS discount_amount, %s::bigint AS net_amount,"
            " %s::numeric(5, 2) AS tax_rate, %s::bigint AS tax_amount, %s::bigint AS total"
        )
        holds = {}
        for off in (-1, 0, 1):
            values: list[int | Decimal] = [net, net, rate, tax + off, net + tax + off]
            cursor.execute(f"SELECT {check} FROM ({row}) AS invoice", values)
            holds[off] = cursor.fetchone()[0]

    assert holds == {-1: False, 0: True, 1: False}
