"""Money: an integer number of minor units beside an ISO 4217 currency code. Never a float."""

from decimal import Decimal

from iso4217 import Currency

# JavaScript's largest exact integer is 9.007e15; staying below it keeps every client honest.
MAX_AMOUNT = 10**15 - 1


def _minor_units() -> dict[str, int]:
    return {c.code: c.exponent for c in Currency if c.exponent is not None}


# ISO 4217 code -> number of decimals of its minor unit (EUR 2, JPY 0, KWD 3).
MINOR_UNITS: dict[str, int] = _minor_units()

# The same of every currency that has not two, for amounts in one that a newer data set has dropped: money
# that was once written down is shown as it was then. A currency is added here when ISO adds it.
_ODD_ONES = {
    0: {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND"}
    | {"VUV", "XAF", "XOF", "XPF"},
    3: {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"},
    4: {"CLF", "UYW"},
}
_NOT_TWO = {code: decimals for decimals, codes in _ODD_ONES.items() for code in codes}


def is_currency(code: str) -> bool:
    """Whether `code` is an active ISO 4217 currency that has minor units (XAU and the like have none)."""
    return code in MINOR_UNITS


def display(amount: int, currency: str) -> str:
    """For people: `display(123456, "EUR")` is `1,234.56 EUR`."""
    return f"{_in_major_units(amount, currency):,} {currency}"


def plain(amount: int, currency: str) -> str:
    """For programs that want major units: `plain(123456, "EUR")` is `1234.56`."""
    return str(_in_major_units(amount, currency))


def minor(amount: Decimal, currency: str) -> int:
    """What a person typed: `minor(Decimal("12.34"), "EUR")` is 1234. Raises ValueError for parts that the
    currency has not."""
    scaled = amount.scaleb(MINOR_UNITS.get(currency, _NOT_TWO.get(currency, 2)))
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{currency} has no parts as small as in {amount}.")
    return int(scaled)


def _in_major_units(amount: int, currency: str) -> Decimal:
    decimals = MINOR_UNITS.get(currency, _NOT_TWO.get(currency, 2))
    return Decimal((amount < 0, tuple(map(int, str(abs(amount)))), -decimals))
