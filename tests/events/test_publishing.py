"""Publishing: an event stands and falls with its change, and says what was, in bytes that never change."""

import orjson
import pytest
from django.db import transaction

from apps.common import besteffort
from apps.common.clock import rfc3339
from apps.common.ids import uuid7
from apps.events.models import Event
from apps.events.publishing import publish, publish_all
from tests.events.conftest import drafted, happen


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_nothing_can_be_published() -> None:
    with pytest.raises(RuntimeError, match="transaction"):
        publish(drafted())

    assert not Event.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_leaves_no_event_and_wakes_nobody() -> None:
    with transaction.atomic():
        publish(drafted())
        transaction.set_rollback(True)

    assert not Event.objects.exists()
    assert besteffort.client().llen("fast") == 0


@pytest.mark.django_db(transaction=True)
def test_a_committed_event_wakes_the_dispatcher() -> None:
    happen()

    assert besteffort.client().llen("fast") == 1


@pytest.mark.django_db
def test_an_event_keeps_whose_it_is_what_it_is_about_and_who_did_it() -> None:
    account, subject, channel, reader = uuid7(), uuid7(), uuid7(), uuid7()

    happen(account, subject=subject, channel_id=channel, readers=[reader])

    event = Event.objects.get()
    assert (event.account_id, event.subject, event.channel_id) == (account, subject, channel)
    assert event.readers == [reader]
    assert event.actor == {"kind": "user", "id": "7", "label": "tester"}
    assert event.request_id == "req-1"
    assert event.position is None


@pytest.mark.django_db
def test_the_payload_is_the_body_that_will_be_signed() -> None:
    event = drafted(object={"id": "x", "n": 1}, changes={"n": (0, 1)})
    with transaction.atomic():
        publish(event)

    stored = Event.objects.get()

    assert event.occurred_at is not None
    assert bytes(stored.payload) == event.payload
    assert orjson.loads(event.payload) == {
        "id": str(event.id),
        "type": "test.happened",
        "version": 1,
        "timestamp": rfc3339(event.occurred_at),
        "account_id": str(event.account_id),
        "data": {"object": {"id": "x", "n": 1}, "changes": {"n": [0, 1]}},
    }


@pytest.mark.django_db
def test_an_event_without_changes_has_no_such_member() -> None:
    assert orjson.loads(drafted().payload)["data"] == {"object": {}}


@pytest.mark.django_db
def test_many_events_of_one_change_are_stored_as_one_is() -> None:
    many = [drafted(readers=[uuid7()], channel_id=uuid7()) for _ in range(3)]

    with transaction.atomic():
        publish_all(many)
        publish_all([])

    stored = list(Event.objects.order_by("sequence"))
    assert [bytes(event.payload) for event in stored] == [each.payload for each in many]
    for event, each in zip(stored, many, strict=True):
        row = {name: value for name, value in each.row().items() if name != "payload"}
        assert {name: getattr(event, name) for name in row} == row
        assert event.position is None
