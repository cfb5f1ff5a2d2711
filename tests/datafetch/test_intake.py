"""What becomes a version: records compared and stored by one statement."""

import hashlib
import random
from importlib import import_module
from typing import Any

import pytest
from django.db import connection

from apps.common import clock
from apps.datafetch.models import Progress, Record, SchemaVersion
from apps.datafetch.sources import forms
from tests.datafetch.pages import Worker, hash_of
from tests.support import ApiClient

pytestmark = pytest.mark.django_db

# With what arrays and JSON must not stumble over.
KEYS = ("1", "2", "a\\b", "tab\t", "line\n", '"', "é", "😀", "\x7f", "x" * 500)
TEXTS = ("0", "1", "\\N", "\\.", "é😀", "line\n", "")


@pytest.fixture
def worker(someone: ApiClient) -> Worker:
    return Worker(someone)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("runs_of", [1, 2, 6])
def test_the_present_is_what_came_last_and_offsets_have_no_gaps(
    worker: Worker, seed: int, runs_of: int
) -> None:
    """Pages of a first run, whose records are taken for new until they are not, and of later ones."""
    chance, present = random.Random(seed), dict[str, str]()
    pages = [
        {key: chance.choice(TEXTS) for key in chance.sample(KEYS, chance.randrange(1, 10))}
        for _ in range(6)
    ]

    for number, page in enumerate(pages):
        if number and number % runs_of == 0:
            worker.begin()
        new = [key for key in page if key not in present]
        changed = [key for key in page if key in present and present[key] != page[key]]

        assert worker.store(page) == (len(new), len(changed))
        present |= page

    rows = Record.objects.filter(stream_id=worker.id).order_by("offset")
    assert [row.offset for row in rows] == list(range(1, len(rows) + 1))
    assert {row.key: row.data for row in rows if row.superseded_at is None} == present
    assert all(bytes(row.hash) == hash_of(row.data) for row in rows)
    for row in rows:
        before = [one for one in rows if one.key == row.key and one.offset < row.offset]
        assert row.change == ("changed" if before else "new")
        assert all(one.superseded_at == row.fetched_at for one in before[-1:])


def test_a_version_may_have_no_schema(worker: Worker) -> None:
    worker.store({"a": "1"})
    schema = forms.as_schema({"x": {"string"}})
    SchemaVersion.objects.create(
        stream=worker.stream, number=7, schema=schema, run_id=worker.run.id
    )
    worker.store({"b": "1"}, {"x": {"string"}})

    rows = Record.objects.filter(stream_id=worker.id).order_by("offset")
    assert [row.schema_number for row in rows] == [None, 7]


def test_an_integer_out_of_range_is_seen_behind_one_that_looks_like_it() -> None:
    observed = forms.Observed()

    for number in (1, 2, 2**63):
        observed.add({"id": number, "name": "x"})

    assert observed.form == {"id": {"integer", "number"}, "name": {"string"}}


@pytest.mark.parametrize("seed", range(5))
def test_many_records_have_the_form_that_each_of_them_adds_to(seed: int) -> None:
    """Whether they all have the same fields or not."""
    chance = random.Random(seed)
    values: list[Any] = [None, True, 1, 2**63, -(2**63) - 1, 1.5, "x", {}, []]
    for _ in range(200):
        names = [*"abc"[: chance.randrange(4)], *chance.sample(["a\0b", "x" * 201], 1)]
        share, some = chance.choice((0.7, 1.0)), chance.sample(values, 3)
        page: list[dict[str, Any]] = [
            {name: chance.choice(some) for name in names if chance.random() < share}
            for _ in range(chance.randrange(6))
        ]
        form: forms.Form = {}
        for record in page:
            forms.observe(form, record)

        assert forms.form_of(page) == form


def test_a_page_is_compared_by_one_look_for_each_record(worker: Worker) -> None:
    """Although the table has just grown, so that its statistics call it empty."""
    for first in range(0, 3000, 1000):
        worker.store({f"{first + n}": "1" for n in range(1000)})
    worker.begin()
    looked_at = """
        SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
          FROM pg_stat_xact_user_tables WHERE relname = 'datafetch_record'"""

    with connection.cursor() as cursor:
        cursor.execute(looked_at)
        before = cursor.fetchone()[0]
        assert worker.store({f"{n}": "1" for n in range(1400, 1500)}) == (0, 0)
        cursor.execute(looked_at)

        # Less than two for each record; all that are there would be 3,000.
        assert cursor.fetchone()[0] - before <= 200


def test_what_was_stored_before_this_version_is_known_again(worker: Worker) -> None:
    """By its migration: the hashes and what was made of them; keys of their own stay."""
    migration = import_module("apps.datafetch.migrations.0006_compare_then_copy")
    stream_id, old = worker.id, hashlib.blake2b(b"1", digest_size=16).digest()

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
    Progress.objects.filter(pk=stream_id).update(last_offset=5, record_count=3)

    with connection.cursor() as cursor:
        cursor.execute(migration.ALONE)
        cursor.execute(migration.HASHES)

    new = hash_of("1")
    rows = Record.objects.filter(stream_id=stream_id).order_by("offset")
    assert [row.key for row in rows] == [new.hex()] * 3 + ["a", "b"]
    assert {bytes(row.hash) for row in rows} == {new}
    assert worker.store({"a": "1", "b": "2", new.hex(): "1"}) == (0, 1)
