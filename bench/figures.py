"""What a benchmark finds: told to whoever watches, and to `make bench`, which writes it down.

With BENCH_FIGURES set to a file, each figure is added to it as a line of JSON.
"""

import json
import os
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

LOG = "BENCH_FIGURES"


class Figure(NamedTuple):
    """One thing measured once. `limit` is what the same run showed to be possible, in the same unit. Of one that was
    measured several times, `ratios` are those of each time."""

    case: str
    value: float
    unit: str
    limit: float | None = None
    ratios: Sequence[float] = ()

    @property
    def ratio(self) -> float | None:
        """To the limit of the same minute: the median of them, where there are several."""
        if self.ratios:
            return statistics.median(self.ratios)
        return self.value / self.limit if self.limit else None

    @property
    def is_rate(self) -> bool:
        """Whether more of it is better."""
        return self.unit.endswith("/s") and not self.unit.startswith("CPU")


def tell(case: str, value: float, unit: str, limit: float | None = None) -> None:
    """Print a figure, beside its limit where there is one."""
    figure = Figure(case, value, unit, limit)
    beside = f"   limit {shown(limit)}, ratio {value / limit:.2f}" if limit else ""
    print(f"{case:46} {shown(value):>9} {unit}{beside}", flush=True)
    if log := os.environ.get(LOG):
        with Path(log).open("a") as lines:
            lines.write(json.dumps(figure) + "\n")


def tell_latencies(
    case: str,
    seconds: Sequence[float],
    limit: Sequence[float] = (),
    percents: Sequence[int] = (50, 95, 99),
) -> None:
    """The middle and the slow end of many, in milliseconds; at least two of them."""
    cuts = statistics.quantiles(seconds, n=100)
    limits = statistics.quantiles(limit, n=100) if limit else None
    for percent in percents:
        beside = limits[percent - 1] * 1000 if limits else None
        tell(f"{case}, p{percent}", cuts[percent - 1] * 1000, "ms", beside)


def read(log: Path) -> list[Figure]:
    """What was told into a file."""
    return [Figure(*json.loads(line)) for line in log.read_text().splitlines()]


def medians(figures: Sequence[Figure]) -> list[Figure]:
    """Of what was measured several times."""
    by_case: dict[str, list[Figure]] = defaultdict(list)
    for figure in figures:
        by_case[figure.case].append(figure)
    return [_median(several) for several in by_case.values()]


def _median(several: Sequence[Figure]) -> Figure:
    limits = [one.limit for one in several if one.limit]
    return several[0]._replace(
        value=statistics.median(one.value for one in several),
        limit=statistics.median(limits) if limits else None,
        ratios=[one.ratio for one in several if one.ratio is not None],
    )


def shown(value: float) -> str:
    """With as many digits as are worth reading."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
