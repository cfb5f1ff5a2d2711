"""A page's records on their way to PostgreSQL, which compares and stores them by one statement (docs/adr/0028)."""

import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

from psycopg.adapt import Dumper
from psycopg.pq import Format

from apps.datafetch.sources.shaping import Records

_TEXT, _TEXT_ARRAY = 25, 1009  # PostgreSQL's numbers of the types
_HEAD = struct.Struct(
    "!iiiii"
)  # dimensions, nulls, the type of an element, how many there are, the first's index
_LENGTH = struct.Struct("!i")


class TextArray:
    """Texts in UTF-8 as one text[] in PostgreSQL's binary format: psycopg would look at each of them by itself."""

    def __init__(self, texts: Sequence[bytes]) -> None:
        lengths = map(_LENGTH.pack, map(len, texts))
        head = _HEAD.pack(1, 0, _TEXT, len(texts), 1)
        self.packed = b"".join((head, *chain.from_iterable(zip(lengths, texts, strict=True))))


class TextArrayDumper(Dumper):
    """Tells psycopg so."""

    format = Format.BINARY
    oid = _TEXT_ARRAY

    def dump(self, obj: TextArray) -> bytes:
        return obj.packed


def columns(records: Records) -> dict[str, Any]:
    """Records as datafetch_store_v5 takes them; nothing for none."""
    if not records:
        return {}
    return {
        "keys": TextArray(list(map(str.encode, records.keys))),
        "hashes": b"".join(records.hashes),
        "datas": TextArray(records.datas),
    }
