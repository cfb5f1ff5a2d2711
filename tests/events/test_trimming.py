"""What stands beside the log goes with it."""

from uuid import UUID

import pytest

from apps.common.ids import uuid7
from apps.events import trimming
from apps.events.dispatch import stamp
from apps.events.models import Event, Reader
from apps.events.trimming import trim_readers
from tests.events.conftest import happen

pytestmark = pytest.mark.django_db


def name_readers(count: int) -> list[UUID]:
    made = [happen(readers=[uuid7(), uuid7()]) for _ in range(count)]
    stamp()
    return made


def test_who_was_named_on_a_dropped_event_is_forgotten() -> None:
    made = name_readers(4)
    Event.objects.filter(pk__in=made[:2]).delete()

    assert trim_readers() is False

    assert set(Reader.objects.values_list("event_id", flat=True)) == set(made[2:])


def test_while_no_event_is_dropped_nobody_is_forgotten() -> None:
    name_readers(3)

    trim_readers()

    assert Reader.objects.count() == 6


def test_when_all_events_are_dropped_everybody_is_forgotten() -> None:
    name_readers(3)
    Event.objects.all().delete()

    trim_readers()

    assert not Reader.objects.exists()


def test_a_batch_at_a_time_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimming, "TRIM_BATCH", 4)
    name_readers(3)
    Event.objects.all().delete()

    assert trim_readers() is True
    assert Reader.objects.count() == 2
    assert trim_readers() is False
    assert not Reader.objects.exists()
