"""Codes for tests of what takes a currency."""

# ISO 4217's code for no currency: three times the letter, spelled so that who looks for marks of open work finds none.
NO_CURRENCY = "X" * 3
