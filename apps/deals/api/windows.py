"""From the query of a list to the window on it."""

from typing import Any

from apps.deals.selectors.windows import Window


def window_of(query: dict[str, Any]) -> Window:
    """The page that is asked for, and the one row more that tells whether another follows."""
    cursor = query.get("cursor")
    if cursor is None:
        return Window(query["limit"] + 1)
    return Window(query["limit"] + 1, cursor.id, cursor.backwards)
