"""What becomes a version: records compared where they are stored, and written by COPY."""

import hashlib
import random
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from psycopg import Cursor

from apps.common import clock
from apps.common.ids import uuid7
from apps.datafetch.models import Record
from apps.datafetch.services.intake import Place, Taken, comparison, write
from apps.datafetch.sources import forms
from apps.datafetch.sources.shaping import Shaped

pytestmark = pytest.mark.django_db

# With what binary COPY and JSON must not stumble over.
KEYS = ("1", "2", "a\\b", "tab\t", "line\n", '"', "é", "😀", "\x7f", "x" * 500)
TEXTS = ("0", "1", "\\N", "\\.", "é😀", "line\n", "")


def shaped(key: str, text: str) -> Shaped:
    data = text.encode()
    return Shaped(key, hashlib.sha256(data).digest()[:16], data)


def stored(stream_id: UUID, page: dict[str, str], number: int | None = 1) -> Taken:
    last = Record.objects.filter(stream_id=stream_id).count()
    with transaction.atomic(), Cursor(connection.connection) as cursor:
        records = [shaped(key, text) for key, text in page.items()]
        compared = cursor.execute(*comparison(stream_id, records)).fetchone()
        assert compared is not None
        return write(cursor, Place(stream_id, uuid7(), last, number), records, *compared)


@pytest.mark.parametrize("seed", range(3))
def test_the_present_is_what_came_last_and_offsets_have_no_gaps(seed: int) -> None:
    chance = random.Random(seed)
    stream_id, present = uuid7(), dict[str, str]()
    pages = [
        {key: chance.choice(TEXTS) for key in chance.sample(KEYS, chance.randrange(1, 10))}
        for _ in range(6)
    ]

    for page in pages:
        new = [key for key in page if key not in present]
        changed = [key for key in page if key in present and present[key] != page[key]]

        assert stored(stream_id, page) == (len(new), len(changed))
        present |= page

    rows = Record.objects.filter(stream_id=stream_id).order_by("offset")
    assert [row.offset for row in rows] == list(range(1, len(rows) + 1))
    assert {row.key: row.data for row in rows if row.superseded_at is None} == present
    assert all(bytes(row.hash) == shaped(row.key, row.data).hash for row in rows)
    for row in rows:
        before = [one for one in rows if one.key == row.key and one.offset < row.offset]
        assert row.change == ("changed" if before else "new")
        assert all(one.superseded_at == row.fetched_at for one in before[-1:])


def test_a_version_may_have_no_schema() -> None:
    stream_id = uuid7()

    stored(stream_id, {"a": "1"}, None)
    stored(stream_id, {"b": "1"}, 7)

    rows = Record.objects.filter(stream_id=stream_id).order_by("offset")
    assert [row.schema_number for row in rows] == [None, 7]


def test_an_integer_out_of_range_is_seen_behind_one_that_looks_like_it() -> None:
    observed = forms.Observed()

    for number in (1, 2, 2**63):
        observed.add({"id": number, "name": "x"})

    assert observed.form == {"id": {"integer", "number"}, "name": {"string"}}


def test_a_page_is_compared_by_one_look_for_each_record() -> None:
    """Although the table has just grown, so that its statistics call it empty."""
    stream_id = uuid7()
    for first in range(0, 3000, 1000):
        stored(stream_id, {f"{first + n}": "1" for n in range(1000)})
    looked_at = """
        SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
          FROM pg_stat_xact_user_tables WHERE relname = 'datafetch_record'"""

    with connection.cursor() as cursor:
        cursor.execute(looked_at)
        before = cursor.fetchone()[0]
        assert stored(stream_id, {f"{n}": "1" for n in range(1400, 1500)}) == (0, 0)
        cursor.execute(looked_at)

        # One for each record, and all of them once by this test's own count().
        assert cursor.fetchone()[0] - before <= 3000 + 200


def test_what_was_stored_before_this_version_is_known_again() -> None:
    """By its migration: the hashes and what was made of them; keys of their own stay."""
    migration = import_module("apps.datafetch.migrations.0006_compare_then_copy")
    stream_id, old = uuid7(), hashlib.blake2b(b"1", digest_size=16).digest()

    def add(offset: int, key: str, **more: Any) -> None:
        given: dict[str, Any] = {"change": "new", "hash": old, "data": "1", **more}
        Record.objects.create(
            stream_id=stream_id,
            offset=offset,
            key=key,
            run_id=stream_id,
            fetched_at=clock.now(),
            **given,
        )

    past = {"superseded_at": clock.now()}
    add(1, old.hex(), **past)
    add(2, old.hex(), change="deleted", **past)
    add(3, old.hex())
    add(4, "a")
    add(5, "b")

    with connection.cursor() as cursor:
        cursor.execute(migration.ALONE)
        cursor.execute(migration.HASHES)

    new = shaped("", "1").hash
    rows = Record.objects.filter(stream_id=stream_id).order_by("offset")
    assert [row.key for row in rows] == [new.hex()] * 3 + ["a", "b"]
    assert {bytes(row.hash) for row in rows} == {new}
    assert stored(stream_id, {"a": "1", "b": "2", new.hex(): "1"}) == (0, 1)
