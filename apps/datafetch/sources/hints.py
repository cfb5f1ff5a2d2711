"""What somebody who configures a stream may want to know of a page, and a run would not tell."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from apps.datafetch.sources.expressions import ExpressionFailed, Steps
from apps.datafetch.sources.source import Source

MAX_LISTS = 5
MAX_DEPTH = 4
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def where_lists_are(document: Any) -> str:
    """A sentence that names the paths of lists of objects in a document; empty where there are none."""
    found = [f"{path or '(the body itself)'} ({length})" for path, length in _lists(document)]
    return f" Lists of objects are at: {', '.join(found[:MAX_LISTS])}." if found else ""


def without_cursor(source: Source, found: list[Any], steps: Steps) -> int:
    """How many records have nothing at the cursor's field."""
    if source.cursor_field is None:
        return 0
    try:
        return sum(source.cursor_field(raw, steps) is None for raw in found)
    except ExpressionFailed:
        return len(found)


def short_page(pagination: Mapping[str, Any], count: int) -> str:
    """Why a first page that has records may not be the last, although it has fewer than were asked for."""
    wanted = pagination.get("limit") or pagination.get("size") or 0
    if not 0 < count < wanted:
        return ""
    return (
        f"The page has {count} records, {wanted} were asked for: a run takes it for the last one. If the "
        f"server never gives more than {count}, ask for {count}."
    )


def _lists(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, int]]:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        yield path, len(value)
    if isinstance(value, dict) and depth < MAX_DEPTH:
        for name, inner in value.items():
            plain = name if _PLAIN_NAME.fullmatch(name) else f'"{name}"'
            if len(plain) <= 100:
                yield from _lists(inner, f"{path}.{plain}" if path else plain, depth + 1)
