"""What streams fetched stays within bounds, and what is there at present stays."""

import threading
from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.datafetch.models import PAGES_KEPT, RAW_KEPT, VERSIONS_KEPT, Page, Record, Rejected
from apps.datafetch.tasks import trim
from tests.datafetch.support import RemoteApi, items, make_stream, present, records, run
from tests.support import ApiClient, Receiver, background, somebody_waits_for_a_lock, wait_until
from tests.support.concurrency import TIMEOUT_SECONDS

pytestmark = pytest.mark.django_db


def let_pass(time: timedelta) -> None:
    """Make all that is there so much older."""
    Record.objects.update(
        fetched_at=F("fetched_at") - time, superseded_at=F("superseded_at") - time
    )
    Page.objects.update(fetched_at=F("fetched_at") - time, visited_at=F("visited_at") - time)
    Rejected.objects.update(created_at=F("created_at") - time)


def test_what_is_not_present_any_more_goes_and_the_rest_stays(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, [*items(3), "rejected"])
    stream = make_stream(someone, remote.url("/all"))
    run(someone, stream)
    remote.items = [{"id": 1, "name": "changed"}, {"id": 2, "name": "item 2"}]
    run(someone, stream)
    trim()
    assert len(records(someone, stream)) == 5

    let_pass(VERSIONS_KEPT + timedelta(hours=1))
    trim()

    left = [(one["offset"], one["key"], one["change"]) for one in records(someone, stream)]
    assert left == [(2, "2", "new"), (4, "1", "changed")]
    assert present(someone, stream) == remote.items
    assert not Rejected.objects.exists()


def test_raw_bodies_go_first_and_pages_that_nobody_visits_later(
    someone: ApiClient, receiver: Receiver
) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(3)).url("/all"))
    run(someone, stream)

    let_pass(RAW_KEPT + timedelta(hours=1))
    trim()
    assert Page.objects.get().body is None
    assert run(someone, stream)["records_unchanged"] == 3

    let_pass(PAGES_KEPT + timedelta(hours=1))
    trim()
    assert not Page.objects.exists()
    assert run(someone, stream)["records_unchanged"] == 3


@pytest.mark.django_db(transaction=True)
def test_a_body_that_just_comes_anew_is_kept(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(3)).url("/all"))
    run(someone, stream)
    let_pass(RAW_KEPT + timedelta(hours=1))
    has_come = threading.Event()

    def trim_meanwhile() -> None:
        assert has_come.wait(TIMEOUT_SECONDS)
        trim()

    with background(trim_meanwhile), transaction.atomic():
        Page.objects.update(fetched_at=Now())
        has_come.set()
        wait_until(somebody_waits_for_a_lock)

    assert Page.objects.get().body is not None
