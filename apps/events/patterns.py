"""Filters by event type: an exact name, `deal.*` for a family, `*` for everything."""

import re
from collections.abc import Iterable

PATTERN = re.compile(r"\*|[a-z_]+\.(\*|[a-z_]+)")


def is_pattern(text: str) -> bool:
    """Whether `text` is a filter at all."""
    return PATTERN.fullmatch(text) is not None


def matches(patterns: Iterable[str], name: str) -> bool:
    """Whether any pattern lets `name` through."""
    family = name.partition(".")[0] + ".*"
    return any(pattern in ("*", family, name) for pattern in patterns)


def like(pattern: str) -> str:
    """The SQL LIKE pattern of a filter (`_` is a letter here, not a wildcard)."""
    return pattern.replace("_", r"\_").replace("*", "%")
