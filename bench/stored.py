"""What earlier short rounds found, in bench/stored.json, and whether this one is slower.

Compared is what other machines and other work change little: the ratio to the limit; where there is no limit, seconds
of CPU, memory and counts of calls. Times and rates without a limit are not. A figure is slower when it is worse than
the worst of the last five rounds by more than its noise: NOISE, twice that for the slow end of latencies. A slower
one is not stored, so that it is named again until it is mended, or until its line in the file is removed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence

from bench.figures import Figure, shown
from bench.installation import ROOT

STORED = ROOT / "bench" / "stored.json"
NOISE = 0.2
KEPT = 5
_COUNTED = ("MB", "calls")


def compare(figures: Mapping[str, Sequence[Figure]], *, keep: bool) -> None:
    """Say what got slower; with `keep`, store what did not."""
    stored: dict[str, list[float]] = json.loads(STORED.read_text()) if STORED.exists() else {}
    slower = []
    for case, now in measures(figures):
        seen = stored.get(case.case, [])
        if seen and is_slower(case, now, seen):
            was = (
                shown(min(seen)) if len(seen) == 1 else f"{shown(min(seen))} to {shown(max(seen))}"
            )
            slower.append(f"{case.case}: {shown(now)}, was {was}")
        else:
            stored[case.case] = [*seen, float(f"{now:.4g}")][-KEPT:]
    print("\n" + "\n".join(["Slower than before:", *slower] if slower else ["Nothing got slower."]))
    if keep:
        STORED.write_text(json.dumps(stored, indent=1) + "\n")


def measures(figures: Mapping[str, Sequence[Figure]]) -> Iterator[tuple[Figure, float]]:
    """What is compared, with its number."""
    for several in figures.values():
        for figure in several:
            if figure.ratio is not None:
                yield figure, figure.ratio
            elif figure.unit.startswith("CPU") or figure.unit in _COUNTED:
                yield figure, figure.value


def is_slower(figure: Figure, now: float, seen: Sequence[float]) -> bool:
    noise = 2 * NOISE if figure.case.endswith(("p95", "p99")) else NOISE
    return now < min(seen) / (1 + noise) if figure.is_rate else now > max(seen) * (1 + noise)
