"""What a run did not find any more, and the runs that need not look for it."""

from collections.abc import Callable, Iterator

import pytest
from django.db import connections
from django.db.models import F
from django.db.models.functions import Now

from apps.datafetch.models import PAGES_KEPT, Page, Progress, Record
from apps.datafetch.services import storing
from apps.datafetch.services.trimming import trim
from tests.datafetch.support import (
    PAGINATIONS,
    Item,
    RemoteApi,
    as_json,
    items,
    make_stream,
    present,
    query_of,
    run,
)
from tests.support import Answer, ApiClient, Receiver
from tests.support.receiver import Received

pytestmark = pytest.mark.django_db(transaction=True)

PAGES, SIZE = 6, 3


class Source(RemoteApi):
    """Pages that lead to one another. Of some records are `gone`, whose pages stay as long as they are less; one page
    may be `broken`."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__(receiver, items(PAGES * SIZE), SIZE)
        self.gone: set[int] = set()
        self.broken: int | None = None
        self.meanwhile: Callable[[int], object] = lambda page: None
        receiver.answer("/links", self._answer)

    def _answer(self, request: Received) -> Answer:
        start = int(query_of(request).get("start", 0))
        end = start + SIZE
        self.meanwhile(start // SIZE + 1)
        if self.broken == start // SIZE + 1:
            return Answer(404)
        found = [one for one in self.items[start:end] if one["id"] not in self.gone]
        following = self.url(f"/links?start={end}") if end < len(self.items) else None
        return as_json({"results": found, "next": following})

    @property
    def there(self) -> list[Item]:
        return [one for one in self.items if one["id"] not in self.gone]


@pytest.fixture
def remote(receiver: Receiver) -> Source:
    return Source(receiver)


@pytest.fixture
def stream(someone: ApiClient, remote: Source) -> Iterator[Item]:
    """It has read all pages once; in the end it has what is there."""
    made = make_stream(someone, remote.url("/links"), **PAGINATIONS["/links"])
    assert run(someone, made)["status"] == "succeeded"
    yield made
    assert present(someone, made) == remote.there


def whole_pages(stream: Item) -> int | None:
    return Progress.objects.get(pk=stream["id"]).whole_pages


def forget_pages() -> None:
    """As if the last run had been long ago, and old pages were just trimmed."""
    Page.objects.filter(number=2).update(visited_at=Now() - PAGES_KEPT)
    trim()
    connections.close_all()


def stray(stream: Item) -> None:
    """Have a record that is on no page."""
    one = Record.objects.filter(stream=stream["id"]).latest("offset")
    Record.objects.create(
        stream_id=one.stream_id,
        offset=one.offset + 1,
        key="stray",
        change=one.change,
        hash=one.hash,
        data=one.data,
        run_id=one.run_id,
        fetched_at=one.fetched_at,
    )
    Progress.objects.filter(pk=one.stream_id).update(
        last_offset=F("last_offset") + 1, record_count=F("record_count") + 1
    )


def test_pages_that_had_all_and_are_as_they_were_have_all(
    someone: ApiClient, remote: Source, stream: Item
) -> None:
    """So that nothing is looked for: one that is not on them would be found missing."""
    assert whole_pages(stream) == PAGES
    stray(stream)

    assert run(someone, stream)["records_deleted"] == 0

    Progress.objects.filter(pk=stream["id"]).update(whole_pages=None)
    assert run(someone, stream)["records_deleted"] == 1
    assert whole_pages(stream) == PAGES


def test_what_is_known_of_a_page_is_forgotten_while_it_is_asked_for(
    someone: ApiClient, remote: Source, stream: Item
) -> None:
    """What it had is there all the same, and is not looked for on the other pages alone."""
    remote.items[0]["name"] = "another"
    remote.meanwhile = lambda page: forget_pages() if page == 2 else None

    ended = run(someone, stream)

    assert (ended["status"], ended["records_deleted"]) == ("succeeded", 0)
    assert (ended["records_changed"], ended["pages"]) == (1, PAGES)


def test_what_vanished_from_a_page_is_deleted(
    someone: ApiClient, remote: Source, stream: Item
) -> None:
    remote.gone.add(8)

    assert run(someone, stream)["records_deleted"] == 1
    assert whole_pages(stream) == PAGES
    assert run(someone, stream)["records_deleted"] == 0


def test_what_vanished_before_a_failure_is_deleted_by_the_run_after_it(
    someone: ApiClient, remote: Source, stream: Item
) -> None:
    """To which the page is as it was."""
    remote.gone.add(8)
    remote.broken = 5
    assert run(someone, stream)["status"] == "failed"
    assert whole_pages(stream) is None
    remote.broken = None

    ended = run(someone, stream)

    assert (ended["records_new"], ended["records_changed"], ended["records_deleted"]) == (0, 0, 1)


def test_of_fewer_pages_it_is_not_believed(
    someone: ApiClient, remote: Source, stream: Item
) -> None:
    """However it came that they were more."""
    Progress.objects.filter(pk=stream["id"]).update(whole_pages=PAGES + 1)
    stray(stream)

    assert run(someone, stream)["records_deleted"] == 1


@pytest.mark.parametrize(
    ("stored_by", "not_known"),
    [
        ("datafetch_store_v3", {"page_refused", "coming_from"}),
        ("datafetch_store_v4", {"coming_from"}),
    ],
)
def test_a_worker_of_a_version_before_makes_it_forgotten(
    someone: ApiClient,
    remote: Source,
    stream: Item,
    monkeypatch: pytest.MonkeyPatch,
    stored_by: str,
    not_known: set[str],
) -> None:
    arguments = [name for name in storing._ARGUMENTS if name not in not_known]
    given = ", ".join(f"{name} => ${n}" for n, name in enumerate(arguments, 1))
    remote.gone.add(8)
    remote.broken = 5
    with monkeypatch.context() as before:
        before.setattr(storing, "_ARGUMENTS", arguments)
        before.setattr(
            storing, "_STORE", f"SELECT added, changed, is_to_stop FROM {stored_by}({given})"
        )
        assert run(someone, stream)["pages"] == 4
    assert whole_pages(stream) is None
    remote.broken = None

    assert run(someone, stream)["records_deleted"] == 1
