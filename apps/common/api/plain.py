"""Looking at bodies without the machinery of serializers: for the few calls where ADR 31 says why."""

from typing import Any


def is_plain_text(text: Any, max_length: int) -> bool:
    """A string with nothing in it to trim or to refuse."""
    return (
        type(text) is str
        and 0 < len(text) <= max_length
        and text.isprintable()
        and not text[0].isspace()
        and not text[-1].isspace()
    )


def is_plain_integer(number: Any, least: int, most: int) -> bool:
    """An integer between these; a bool is one too, of another type."""
    return type(number) is int and least <= number <= most
