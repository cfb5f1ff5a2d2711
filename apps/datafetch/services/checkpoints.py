"""Where a run goes on: what is kept, encrypted, in `Progress.position`."""

from dataclasses import asdict, dataclass, field
from typing import Any, Self

import orjson

from apps.datafetch.models import Progress, Run, Stream
from apps.datafetch.sources import cursors
from apps.datafetch.sources.pagination import Position


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`at` is the page to ask for next, None after the last; `since` the cursor value to read from and
    `greatest` the greatest seen so far; `digest` is of the body of the page before.

    A run counts its readings of the stream from the first page on: it begins a new one when the
    configuration has changed, and to make sure of what it did not find (`is_second_look`). How many pages
    there are is known of those that are kept alone (`pages_total`).
    """

    at: Position | None = field(default_factory=dict)
    page: int = 0
    reading: int = 1
    is_second_look: bool = False
    since: Any = None
    greatest: Any = None
    digest: str = ""
    pages_total: int | None = None

    @classmethod
    def beginning(cls, stream: Stream, progress: Progress, run: Run, *, reading: int = 1) -> Self:
        """The checkpoint of a run that has read nothing yet."""
        cursor = stream.cursor
        if not cursor:
            return cls(reading=reading)
        since = cursor.get("initial")
        if progress.cursor_value is not None and not run.full_refresh:
            since = cursors.looking_back(progress.cursor_value, cursor.get("lookback_seconds") or 0)
        return cls(reading=reading, since=since, greatest=progress.cursor_value)

    @classmethod
    def of(cls, progress: Progress) -> Self | None:
        """The stored one; None for a run that has not begun to read."""
        return cls(**orjson.loads(progress.position)) if progress.position else None

    def stored(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    def shown(self) -> dict[str, Any]:
        """What its owner may see of it: links may hold secrets, so they are left out."""
        at = {name: value for name, value in (self.at or {}).items() if name != "url"}
        told = {
            "pages": self.page,
            "pages_total": self.pages_total,
            "reading": self.reading,
            "since": self.since,
            **at,
        }
        return {name: value for name, value in told.items() if value is not None}
