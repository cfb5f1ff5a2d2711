"""Small charts as SVG, drawn by the server: the same without JavaScript, in both themes and in an answer to
a poll. Positions are computed here, colours are classes of the style sheet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

WIDTH, HEIGHT = 240, 56
GAP = 2


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a column; `kind` is its CSS class."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """One hour: its bars, and what is said of it where the pointer rests."""

    x: float
    width: float
    title: str
    bars: list[Bar]


@dataclass(frozen=True, slots=True)
class Line:
    """The points of a polyline; `kind` is its CSS class."""

    kind: str
    points: str


@dataclass(frozen=True, slots=True)
class Chart:
    """`title` says what it shows, `legend` is (kind, word) of each series that needs one."""

    title: str
    columns: list[Column]
    lines: list[Line] = field(default_factory=list)
    legend: tuple[tuple[str, str], ...] = ()
    most: str = ""
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def svg(self) -> SafeString:
        """Its markup; written here, because a template takes many times as long for as many shapes."""
        said = 'aria-hidden="true"'
        if self.title:
            label = escape(f"{self.title}, the last 24 hours: {self.most or 'nothing'}")
            said = f'role="img" aria-label="{label}"'
        shapes = "".join([*map(self._column, self.columns), *map(_polyline, self.lines)])
        return mark_safe(  # noqa: S308 - of numbers, our own words and what is escaped above
            f'<svg viewBox="0 0 {self.width} {self.height}" preserveAspectRatio="none" {said}>'
            f"{shapes}</svg>"
        )

    def _column(self, column: Column) -> str:
        title = f"<title>{escape(column.title)}</title>" if column.title else ""
        bars = "".join(map(_rectangle, column.bars))
        hit = _rectangle(Bar("hit", column.x, 0, column.width, self.height))
        return f"<g>{title}{hit}{bars}</g>"


def _rectangle(bar: Bar) -> str:
    return f'<rect class="{bar.kind}" x="{bar.x}" y="{bar.y}" width="{bar.width}" height="{bar.height}"/>'


def _polyline(line: Line) -> str:
    return f'<polyline class="{line.kind}" points="{line.points}"/>'


def columns(
    title: str,
    series: dict[str, Sequence[float]],
    now: datetime,
    *,
    before: Sequence[float] = (),
    legend: tuple[tuple[str, str], ...] = (),
    say: Callable[[float], str] = lambda value: f"{value:,.0f}",
) -> Chart:
    """A column for each hour up to now, its series on top of each other; `before` is a line behind them.
    `say` puts a value in words."""
    stacks = list(zip(*series.values(), strict=True))
    top = max((*map(sum, stacks), *before, 0)) or 1
    words = dict(legend)
    shown = []
    for place, (start, values) in enumerate(zip(_hours(now, len(stacks)), stacks, strict=True)):
        said = ", ".join(
            f"{say(value)} {words.get(kind, '')}".strip()
            for kind, value in zip(series, values, strict=True)
        )
        said += f" (day before: {say(before[place])})" if before else ""
        step = WIDTH / len(stacks)
        x, width = place * step + GAP / 2, step - GAP
        bars, base = [], float(HEIGHT)
        for kind, value in zip(series, values, strict=True):
            height = _scaled(value, top)
            base -= height
            bars.append(Bar(kind, _r(x), _r(base), _r(width), _r(height)))
        shown.append(Column(_r(place * step), _r(step), f"{start:%H}:00 · {said}", bars))
    lines = [_line("before", before, top)] if any(before) else []
    return Chart(
        title, shown, lines, legend, f"up to {say(top)} an hour" if any(map(sum, stacks)) else ""
    )


def lines(
    title: str,
    series: dict[str, Sequence[float | None]],
    now: datetime,
    *,
    legend: tuple[tuple[str, str], ...],
    say: Callable[[float], str],
) -> Chart:
    """A line for each series; an hour without a value is left out of it."""
    values = [value for line in series.values() for value in line if value is not None]
    top = max(values, default=0) or 1
    words = dict(legend)
    count = len(next(iter(series.values())))
    step = WIDTH / count
    shown = [
        Column(
            _r(place * step),
            _r(step),
            f"{start:%H}:00 · "
            + (
                ", ".join(
                    f"{words[kind]} {say(value)}"
                    for kind, line in series.items()
                    if (value := line[place]) is not None
                )
                or "nothing"
            ),
            [],
        )
        for place, start in enumerate(_hours(now, count))
    ]
    drawn = [_line(kind, line, top) for kind, line in series.items()]
    return Chart(title, shown, drawn, legend, f"up to {say(top)}" if values else "")


def sparkline(values: Sequence[float]) -> Chart:
    """Bars so small that they say no more than how it went."""
    width, height = 72, 18
    top, step = max((*values, 0)) or 1, width / len(values)
    bars = [
        Bar("main", _r(place * step), _r(height - size), _r(step - 0.8), _r(size))
        for place, value in enumerate(values)
        for size in [max(value / top * height, 0.8)]
    ]
    return Chart("", [Column(0, width, "", bars)], width=width, height=height)


def meter(share: float, kind: str) -> Chart:
    """How full something is."""
    width, height = 72, 6
    filled = min(max(share, 0.0), 1.0) * width
    bars = [Bar("rest", 0, 0, width, height), Bar(kind, 0, 0, _r(filled), height)]
    return Chart("", [Column(0, width, "", bars)], width=width, height=height)


def _hours(now: datetime, count: int) -> list[datetime]:
    newest = now.replace(minute=0, second=0, microsecond=0)
    return [newest - timedelta(hours=back) for back in range(count - 1, -1, -1)]


def _scaled(value: float, top: float) -> float:
    """The height of a value; what is there at all is seen."""
    return max(value / top * (HEIGHT - 2), 1.5) if value else 0.0


def _line(kind: str, values: Sequence[float | None], top: float) -> Line:
    step = WIDTH / len(values)
    points = [
        f"{_r((place + 0.5) * step)},{_r(HEIGHT - 1 - value / top * (HEIGHT - 3))}"
        for place, value in enumerate(values)
        if value is not None
    ]
    # A line of one point would not be seen; from it to itself it is a dot.
    return Line(kind, " ".join(points * 2 if len(points) == 1 else points))


def _r(value: float) -> float:
    return round(value, 1)
