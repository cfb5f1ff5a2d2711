"""Money is shown as each currency is written, and counted in its minor unit."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso4217 import Currency

from apps.common.money import MAX_AMOUNT, MINOR_UNITS, display, is_currency
from tests.support.currencies import NO_CURRENCY


@pytest.mark.parametrize("currency", sorted(MINOR_UNITS))
def test_every_currency_is_displayed_with_its_own_decimals(currency: str) -> None:
    decimals = Currency(currency).exponent or 0

    whole, _, part = (
        display(10 ** (decimals + 1) * 123 + 1, currency)
        .removesuffix(f" {currency}")
        .partition(".")
    )

    assert whole == "1,230" if decimals else whole == "1,231"
    assert part == ("0" * (decimals - 1) + "1" if decimals else "")


@given(st.integers(-MAX_AMOUNT, MAX_AMOUNT), st.sampled_from(sorted(MINOR_UNITS)))
def test_what_is_displayed_is_the_exact_amount(amount: int, currency: str) -> None:
    number, code = display(amount, currency).split(" ")

    assert Decimal(number.replace(",", "")).scaleb(MINOR_UNITS[currency]) == amount
    assert code == currency


@pytest.mark.parametrize("currency", sorted(MINOR_UNITS))
def test_a_currency_that_the_data_set_drops_is_displayed_as_before(
    currency: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = display(123456789, currency)

    monkeypatch.delitem(MINOR_UNITS, currency)

    assert not is_currency(currency)
    assert display(123456789, currency) == before


@pytest.mark.parametrize("code", ["EUR", "USD", "JPY", "KWD", "CHF", "CLF"])
def test_an_active_currency_is_one(code: str) -> None:
    assert is_currency(code)


# In ISO 4217 XAU is gold; DEM is past.
@pytest.mark.parametrize("code", ["", "eur", "EU", "EURO", "XAU", NO_CURRENCY, "DEM", "ZZZ", "€"])
def test_anything_else_is_no_currency(code: str) -> None:
    assert not is_currency(code)


def test_the_largest_amount_is_exact_in_javascript() -> None:
    assert MAX_AMOUNT < 2**53
