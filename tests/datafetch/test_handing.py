"""A page that was handed over to PostgreSQL: stored by it alone, as a whole or not at all."""

import pytest
from django.db import connection

from apps.common.ids import uuid7
from apps.datafetch.models import Page, Progress, Record, Run, Stream
from apps.datafetch.services import runs, storing
from tests.datafetch.pages import Worker
from tests.datafetch.support import (
    PAGINATIONS,
    RemoteApi,
    items,
    make_stream,
    present,
    query_of,
    run,
)
from tests.support import Answer, ApiClient, Receiver, wait_until
from tests.support.receiver import Received

pytestmark = pytest.mark.django_db(transaction=True)

FORM = {"x": {"string"}}


@pytest.fixture
def worker(someone: ApiClient) -> Worker:
    """It has stored a page, whose form it knows."""
    made = Worker(someone)
    made.store({"a": "1"}, FORM)
    return made


def test_what_was_handed_over_is_stored(worker: Worker) -> None:
    storing.settle(worker.progress, worker.hand_over({"b": "1", "a": "2"}))

    rows = Record.objects.filter(stream_id=worker.id, superseded_at=None).order_by("offset")
    assert [(row.offset, row.key, row.change) for row in rows] == [
        (2, "b", "new"),
        (3, "a", "changed"),
    ]
    assert {row.schema_number for row in rows} == {1}
    progress, done = Progress.objects.get(pk=worker.id), Run.objects.get(pk=worker.run.pk)
    assert (progress.last_offset, progress.record_count) == (3, 2)
    assert (done.pages, done.records_new, done.records_changed) == (2, 2, 1)


def test_it_is_stored_although_its_sender_is_gone(worker: Worker) -> None:
    """A large one, so that it does not fit into what a socket takes at once."""
    worker.hand_over({f"{n}": "x" * 1000 for n in range(5000)})
    connection.connection.pgconn.finish()
    connection.close()

    wait_until(lambda: Progress.objects.get(pk=worker.id).last_offset == 5001, seconds=30)

    assert Record.objects.filter(stream_id=worker.id).count() == 5001
    assert Page.objects.filter(stream=worker.stream).count() == 2


def test_nothing_of_it_is_stored_once_the_lease_is_lost(worker: Worker) -> None:
    Progress.objects.filter(pk=worker.id).update(lease_id=uuid7())

    with pytest.raises(runs.LeaseLost):
        storing.settle(worker.progress, worker.hand_over({"b": "1"}))

    assert Record.objects.filter(stream_id=worker.id).count() == 1
    assert Page.objects.filter(stream=worker.stream).count() == 1


def test_nothing_of_it_is_stored_once_the_stream_was_edited(worker: Worker) -> None:
    Stream.objects.filter(pk=worker.id).update(version=worker.stream.version + 1)

    with pytest.raises(storing.ConfigurationChanged):
        storing.settle(worker.progress, worker.hand_over({"b": "1"}))

    assert Record.objects.filter(stream_id=worker.id).count() == 1
    assert Run.objects.get(pk=worker.run.pk).pages == 1


@pytest.mark.parametrize("path", PAGINATIONS)
def test_every_pagination_is_read_with_pages_handed_over(
    someone: ApiClient, receiver: Receiver, path: str
) -> None:
    remote = RemoteApi(receiver, items(10))
    stream = make_stream(someone, remote.url(path), **PAGINATIONS[path])

    assert run(someone, stream)["records_new"] == 10
    remote.items[4]["name"] = "another"
    again = run(someone, stream)

    assert (again["records_changed"], again["records_unchanged"]) == (1, 9)
    assert present(someone, stream) == remote.items


def test_a_page_that_fails_leaves_the_one_before_it_stored(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, items(9))
    stream = make_stream(someone, remote.url("/links"), **PAGINATIONS["/links"])

    def failing(request: Received) -> Answer:
        return Answer(404) if query_of(request).get("start") == "6" else remote._links(request)

    receiver.answer("/links", failing)

    ended = run(someone, stream)

    assert (ended["status"], ended["pages"], ended["records_new"]) == ("failed", 2, 6)
    assert present(someone, stream) == remote.items[:6]
