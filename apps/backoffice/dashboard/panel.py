"""What a panel is made of; templates/admin/dashboard shows it.

A panel says itself how it is: its notes are what somebody should look at, and its level is the worst of
them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from django.db.models import QuerySet

from apps.backoffice.dashboard.charts import Chart

# Counting stops here: nobody needs to know more exactly.
COUNT_LIMIT = 10_000


class Level(IntEnum):
    """How bad it is; `word` is its CSS class too."""

    FINE = 0
    ATTENTION = 1
    TROUBLE = 2

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Note:
    """Something that somebody should look at, and where."""

    level: Level
    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Trend:
    """Against the day before: `+12 %`, and which way it went."""

    text: str
    is_up: bool


@dataclass(frozen=True, slots=True)
class Stat:
    """One figure; `url` is the list behind it."""

    label: str
    value: str
    detail: str = ""
    url: str = ""
    trend: Trend | None = None
    level: Level = Level.FINE


@dataclass(frozen=True, slots=True)
class Cell:
    """A place in a table: a text, perhaps with a chart, and in a colour where it is not well."""

    text: str
    url: str = ""
    detail: str = ""
    level: Level = Level.FINE
    chart: Chart | None = None
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """The first few of something."""

    head: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]


@dataclass(frozen=True, slots=True)
class Hint:
    """What to do first where there is nothing yet."""

    text: str
    url: str
    link: str


@dataclass(slots=True)
class Panel:
    """A business at a glance; `url` is the list behind it."""

    title: str
    url: str
    stats: list[Stat] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    hint: Hint | None = None

    @property
    def level(self) -> Level:
        return max((note.level for note in self.notes), default=Level.FINE)

    def note(self, level: Level, text: str, url: str = "") -> None:
        """Say that somebody should look, here or at `url`."""
        self.notes.append(Note(level, text, url or self.url))


def counted(rows: "QuerySet[Any]") -> int:
    """How many rows there are, counted to just above COUNT_LIMIT."""
    return rows.order_by()[: COUNT_LIMIT + 1].count()


def number(count: int) -> str:
    """`12,345`; what `counted` stopped at is `over 10,000`."""
    return f"over {COUNT_LIMIT:,}" if count == COUNT_LIMIT + 1 else f"{count:,}"


def compact(count: float) -> str:
    """Few digits for a narrow place: 987, 12.3k, 4.56M."""
    for divisor, unit in ((1e9, "bn"), (1e6, "M"), (1e4, "k")):
        if count >= divisor:
            return f"{count / (1e3 if unit == 'k' else divisor):.3g}{unit}"
    return f"{count:,.0f}"


def trend(now: float, before: float) -> Trend | None:
    """How the last day was against the day before; None where there is nothing to compare with."""
    if before <= 0:
        return None
    change = round((now / before - 1) * 100)
    return Trend(f"{change:+,} %" if change else "±0 %", change >= 0)


def of_day_before(numbers: Iterable[float], now: datetime) -> float:
    """The sum of 24 hours, of the last only as much as has passed of the hour that is going: so what is
    compared with an unfinished day is as long as it."""
    *whole, last = numbers
    passed = (now.minute * 60 + now.second) / 3600
    return sum(whole) + last * passed


def span(seconds: float) -> str:
    """`340 ms`, `12 s`, `5 min`, `3 h`, `4 d`: the largest unit that tells enough."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def ago(moment: datetime | None, now: datetime) -> str:
    """How long ago it was, for people."""
    if moment is None:
        return "never"
    return f"{span(max(now - moment, timedelta()).total_seconds())} ago"
