"""Records as Apache Parquet, written while it is sent. Imported when it is asked for: pyarrow is large."""

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson
import pyarrow as pa
from pyarrow import parquet

from apps.datafetch.api.exports import META, columns
from apps.datafetch.selectors import Version
from apps.datafetch.sources.forms import Form

_META_TYPES = (pa.int64(), pa.string(), pa.string(), pa.timestamp("us", tz="UTC"))


def as_parquet(chunks: Iterable[list[Version]], form: Form) -> Iterator[bytes]:
    """A row group for each chunk. A field that has had values of one type has a column of that type; one
    of several types, or of objects and arrays, has their JSON as text."""
    named = columns(form)
    kinds = [_kind(form[field]) for field in named.values()]
    fields = [*zip(META, _META_TYPES, strict=True)]
    fields += [(name, kind) for name, (kind, _) in zip(named, kinds, strict=True)]
    schema = pa.schema(fields)
    sink = _Sink()
    writer = parquet.ParquetWriter(sink, schema, compression="zstd")
    try:
        for records in chunks:
            writer.write_batch(_batch(records, schema, list(named.values()), kinds))
            yield sink.taken()
    finally:
        writer.close()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """What was written since it was last taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self._length += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._length

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


_Convert = Callable[[Any], Any]


def _batch(
    records: list[Version], schema: Any, fields: list[str], kinds: list[tuple[Any, _Convert]]
) -> Any:
    data = [orjson.loads(one.data) for one in records]
    meta = [[getattr(one, name) for one in records] for name in META]
    values = [
        [None if (value := each.get(field)) is None else convert(value) for each in data]
        for field, (_, convert) in zip(fields, kinds, strict=True)
    ]
    arrays = [
        pa.array(column, type=field.type)
        for column, field in zip([*meta, *values], schema, strict=True)
    ]
    return pa.record_batch(arrays, schema=schema)


def _kind(types: set[str]) -> tuple[Any, _Convert]:
    return _KINDS.get(next(iter(types)), _AS_JSON) if len(types) == 1 else _AS_JSON


def _itself(value: Any) -> Any:
    return value


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


_AS_JSON: tuple[Any, _Convert] = (pa.string(), _json)
_KINDS: dict[str, tuple[Any, _Convert]] = {
    "boolean": (pa.bool_(), _itself),
    "integer": (pa.int64(), _itself),
    "number": (pa.float64(), float),
    "string": (pa.string(), _itself),
}
