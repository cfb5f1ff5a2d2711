"""A page that was handed over to PostgreSQL: stored by it alone, as a whole or not at all."""

import pytest
from django.db import DataError, OperationalError, ProgrammingError, connection

from apps.common.ids import uuid7
from apps.datafetch.models import Page, Progress, Record, Run, Stream
from apps.datafetch.services import runs, storing
from apps.datafetch.services.handing import Handed
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
from tests.support import Answer, ApiClient, Receiver, holding, wait_until
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


def test_the_next_page_goes_behind_it(worker: Worker) -> None:
    """PostgreSQL has it while the one before is still to be answered, and stores them in their order."""
    first = worker.hand_over({"b": "1", "a": "2"})
    second = worker.hand_over({"b": "3"}, before=first)
    third = worker.hand_over({"c": "1"}, before=second)
    storing.settle(worker.progress, third)

    rows = Record.objects.filter(stream_id=worker.id).order_by("offset")
    assert [(row.key, row.data) for row in rows] == [
        ("a", "1"),
        ("b", "1"),
        ("a", "2"),
        ("b", "3"),
        ("c", "1"),
    ]
    assert Run.objects.get(pk=worker.run.pk).pages == 4


def test_nothing_is_stored_behind_a_page_that_was_not(worker: Worker) -> None:
    """Whatever went wrong with it, and however well the one behind it might have been stored."""
    first = worker.hand_over({"b": "no\0text"})

    with pytest.raises(DataError):
        worker.hand_over({"c": "1"}, before=first)

    assert list(Record.objects.filter(stream_id=worker.id).values_list("key", flat=True)) == ["a"]
    assert Run.objects.get(pk=worker.run.pk).pages == 1
    storing.settle(
        worker.progress, worker.hand_over({"c": "1"})
    )  # the connection is as good as before
    assert Progress.objects.get(pk=worker.id).last_offset == 2


def test_a_lease_that_was_lost_meanwhile_ends_both(worker: Worker) -> None:
    Progress.objects.filter(pk=worker.id).update(lease_id=uuid7())
    first = worker.hand_over({"b": "1"})

    with pytest.raises(runs.LeaseLost):
        worker.hand_over({"c": "1"}, before=first)

    assert Record.objects.filter(stream_id=worker.id).count() == 1


def test_a_server_that_goes_away_is_told(worker: Worker) -> None:
    first = worker.hand_over({"b": "1"})
    with holding("SELECT pg_terminate_backend(%s, 10000)", connection.connection.info.backend_pid):
        pass

    with pytest.raises(OperationalError):
        worker.hand_over({"c": "1"}, before=first)
    connection.close()

    assert Record.objects.filter(stream_id=worker.id, key="c").count() == 0


def test_a_statement_that_cannot_be_prepared_is_prepared_again(worker: Worker) -> None:
    sql = "SELECT count(*) FROM not_there_yet WHERE id = $1"
    for _ in range(2):
        with pytest.raises(ProgrammingError, match="not_there_yet"):
            Handed((sql, [1])).answer()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE not_there_yet (id int)")

    assert Handed((sql, [1])).answer() == (0,)


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
