"""Records as lines of a file, for programs (NDJSON) and for spreadsheets (CSV)."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from apps.common.api.streaming import csv_rows
from apps.common.clock import rfc3339
from apps.datafetch.selectors import Lines, Version
from apps.datafetch.sources.forms import Form

# What each record has; the fields of its data come after them.
META = ("offset", "key", "change", "fetched_at")


def columns(form: Form) -> dict[str, str]:
    """The fields of the data as columns: name of the column → name of the field."""
    named: dict[str, str] = {}
    for field in sorted(form):
        column = field
        while column in META or column in named:
            column = f"data_{column}"
        named[column] = field
    return named


def ndjson(chunks: Iterable[Lines], form: Form) -> Iterator[bytes]:
    """A line of JSON for each record, as the list shows it."""
    for chunk in chunks:
        yield chunk.text


def comma_separated(chunks: Iterable[list[Version]], form: Form) -> Iterator[bytes]:
    """A header line and a row for each record; objects and arrays are JSON in their cell."""
    named = columns(form)
    yield csv_rows([(*META, *named)])
    for records in chunks:
        yield csv_rows(_row(one, list(named.values())) for one in records)


def _row(record: Version, fields: list[str]) -> list[Any]:
    data = orjson.loads(record.data)
    meta = [record.offset, record.key, record.change, rfc3339(record.fetched_at)]
    return [*meta, *(_cell(data.get(field)) for field in fields)]


def _cell(value: Any) -> Any:
    if isinstance(value, bool | dict | list):
        return orjson.dumps(value).decode()
    return value
