"""What a buyer pays, as Python computes it and as the database checks it."""

from decimal import ROUND_HALF_UP, Decimal

import pytest
from django.db import IntegrityError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.common.money import MAX_AMOUNT
from apps.deals.enums import DiscountType
from apps.deals.models import Deal
from apps.deals.pricing import Discount, discount_fault, final_price
from tests.conftest import MakeAccount

totals = st.integers(0, MAX_AMOUNT)
percentages = st.builds(Discount, st.just(DiscountType.PERCENTAGE), st.integers(0, 100))


@st.composite
def priced(draw: st.DrawFn) -> tuple[int, Discount | None]:
    """A total price and a discount that may be given on it."""
    total = draw(totals)
    flat = st.builds(Discount, st.just(DiscountType.FLAT), st.integers(0, total))
    return total, draw(st.none() | flat | percentages)


@given(totals, percentages)
def test_percentage_is_rounded_half_up(total: int, discount: Discount) -> None:
    exact = Decimal(total) * (100 - discount.amount) / 100

    assert final_price(total, discount) == exact.quantize(Decimal(1), ROUND_HALF_UP)


@given(totals, st.integers(0, MAX_AMOUNT))
def test_flat_discount_is_taken_off_or_refused(total: int, amount: int) -> None:
    discount = Discount(DiscountType.FLAT, amount)

    if amount > total:
        fault = discount_fault(total, discount)
        assert fault is not None
        assert fault.code == "discount_above_total"
    else:
        assert discount_fault(total, discount) is None
        assert final_price(total, discount) == total - amount


@pytest.mark.parametrize(
    ("total", "percent", "final"),
    [(1005, 10, 905), (1004, 10, 904), (1, 50, 1), (1, 51, 0), (0, 10, 0), (999, 0, 999)],
)
def test_examples(total: int, percent: int, final: int) -> None:
    assert final_price(total, Discount(DiscountType.PERCENTAGE, percent)) == final


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(priced(), st.integers(-2, 2))
def test_database_agrees_on_every_final_price(
    make_account: MakeAccount, terms: tuple[int, Discount | None], off_by: int
) -> None:
    total, discount = terms
    deal = Deal(
        seller=make_account(),
        name="A deal",
        currency="EUR",
        total_price=total,
        discount_type=discount.type if discount else "",
        discount_amount=discount.amount if discount else 0,
        final_price=final_price(total, discount) + off_by,
    )

    if off_by == 0:
        deal.save()
    else:
        with pytest.raises(IntegrityError, match="deal_final_price"), transaction.atomic():
            deal.save()
