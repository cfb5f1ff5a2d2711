"""The back office of the event log: read everything, change only what keeps it going."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.events.dispatch import dispatch, stamp
from apps.events.models import Consumer, Event
from tests.events.conftest import Subscribe, collecting, happen
from tests.support.backoffice import act

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def test_an_event_is_shown_with_its_body(staff: Client) -> None:
    made = happen(object={"colour": "vermilion"})
    stamp()

    answer = staff.get(f"/admin/events/event/{made}/change/")

    assert answer.status_code == 200
    assert b"vermilion" in answer.content


@pytest.mark.parametrize("page", ["add/", "{}/delete/"])
def test_an_event_is_neither_made_nor_deleted_by_hand(staff: Client, page: str) -> None:
    made = happen()

    assert staff.post(f"/admin/events/event/{page.format(made)}").status_code == 403
    assert Event.objects.count() == 1


def test_an_event_is_found_by_what_it_is_about(staff: Client) -> None:
    made = happen()
    happen()
    subject = Event.objects.get(pk=made).subject

    answer = staff.get("/admin/events/event/", {"q": str(subject)})

    assert [event.pk for event in answer.context["cl"].result_list] == [made]


@pytest.mark.django_db(transaction=True)
def test_a_failing_consumer_is_skipped_past_its_event(staff: Client, subscribed: Subscribe) -> None:
    got: list[UUID] = []
    made = [happen() for _ in range(2)]

    def fail_on_the_first(events: Sequence[Event]) -> None:
        if made[0] in [event.id for event in events]:
            raise RuntimeError
        got.extend(event.id for event in events)

    subscribed(fail_on_the_first, name="tests.failing")
    subscribed(collecting([]), name="tests.well")
    dispatch()

    said = act(staff, "events/consumer", "skip", "tests.failing", "tests.well")
    dispatch()

    assert "tests.failing goes on after that event." in said
    assert "tests.well is not failing." in said
    assert got == made[1:]
    assert Consumer.objects.get(pk="tests.well").position == 2


@pytest.mark.parametrize(
    "asked", ["0001-01-01T00:00Z x", "9999-12-31T23:59:59Z x", "2026-01-01T00:00Z \0", "x", "\0"]
)
def test_an_odd_request_is_that_of_no_event(staff: Client, asked: str) -> None:
    happen()

    answer = staff.get("/admin/events/event/", {"request": asked})

    if answer.status_code == 200:
        assert list(answer.context["cl"].result_list) == []
    else:
        assert answer.headers["Location"] == "/admin/events/event/?e=1"
