"""Pages that are as they were: confirmed several at a time, and what that may cost."""

import random
from collections.abc import Callable

import pytest
from django.db import connection

from apps.datafetch import limits
from apps.datafetch.models import Page, Progress, Run
from apps.datafetch.tasks import read
from tests.datafetch.support import (
    PAGINATIONS,
    Item,
    RemoteApi,
    as_json,
    items,
    let_time_pass,
    make_stream,
    present,
    query_of,
    run,
)
from tests.datafetch.workers import Workers
from tests.support import Answer, ApiClient, Receiver, wait_until
from tests.support.receiver import Received

pytestmark = pytest.mark.django_db(transaction=True)

PAGES, SIZE = 60, 3
LINKS = PAGINATIONS["/links"]


class Source(RemoteApi):
    """Pages that lead to one another; `on` is called before one of them is answered."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__(receiver, items(PAGES * SIZE), SIZE)
        self.asked: list[int] = []
        self.on: Callable[[int], Answer | None] = lambda page: None
        receiver.answer("/links", self._noted)

    def _noted(self, request: Received) -> Answer:
        page = int(query_of(request).get("start", 0)) // SIZE + 1
        self.asked.append(page)
        return self.on(page) or self._links(request)


@pytest.fixture
def remote(receiver: Receiver) -> Source:
    return Source(receiver)


@pytest.fixture
def stream(someone: ApiClient, remote: Source) -> Item:
    """It has read all pages once."""
    made = make_stream(someone, remote.url("/links"), **LINKS)
    assert run(someone, made)["pages"] == PAGES
    remote.asked.clear()
    return made


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is, pages wait for one another."""
    monkeypatch.setattr(limits, "CONFIRM_SECONDS", 3600.0)


def stored_pages() -> int:
    """Of the newest run, asked for by a thread of the remote API."""
    try:
        return Run.objects.order_by("-id")[0].pages
    finally:
        connection.close()


def test_pages_that_came_within_a_moment_are_confirmed_together(
    someone: ApiClient, remote: Source, stream: Item, patient: None
) -> None:
    waiting: list[int] = []
    remote.on = lambda page: waiting.append(page - 1 - stored_pages())
    ended = run(someone, stream)

    assert (ended["pages"], ended["records_unchanged"]) == (PAGES, PAGES * SIZE)
    assert ended["requests"] == PAGES
    # The last of them is asked for when all others wait. Beside those, as many may be on their way to PostgreSQL.
    assert limits.CONFIRM_PAGES - 1 <= max(waiting) <= 2 * limits.CONFIRM_PAGES + 1


def test_pages_that_take_their_time_are_confirmed_one_by_one(
    someone: ApiClient, remote: Source, stream: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONFIRM_SECONDS", 0.0)
    waiting: list[int] = []
    remote.on = lambda page: waiting.append(page - 1 - stored_pages())
    assert run(someone, stream)["pages"] == PAGES

    assert max(waiting) <= 1  # the one that was handed over


@pytest.mark.parametrize("seed", range(4))
def test_what_changed_in_between_is_stored_in_its_place(
    someone: ApiClient, remote: Source, stream: Item, patient: None, seed: int
) -> None:
    chance = random.Random(seed)
    changed = chance.sample(range(PAGES * SIZE), chance.choice((1, 2, 30)))
    for number in changed:
        remote.items[number]["name"] = "another"

    ended = run(someone, stream)

    assert (ended["status"], ended["pages"], ended["requests"]) == ("succeeded", PAGES, PAGES)
    figures = (ended["records_new"], ended["records_changed"], ended["records_unchanged"])
    assert figures == (0, len(changed), PAGES * SIZE - len(changed))
    visited = Page.objects.filter(run_id=ended["id"], reading=1).order_by("number")
    assert [page.number for page in visited] == list(range(1, PAGES + 1))
    starts = [int(page.url.rpartition("=")[2]) for page in visited[1:]]
    assert starts == list(range(SIZE, PAGES * SIZE, SIZE))
    assert present(someone, stream) == remote.items


def test_what_came_before_a_failure_is_confirmed(
    someone: ApiClient, remote: Source, stream: Item, patient: None
) -> None:
    remote.on = lambda page: Answer(404) if page == 29 else None

    ended = run(someone, stream)

    assert (ended["status"], ended["pages"], ended["records_unchanged"]) == (
        "failed",
        28,
        28 * SIZE,
    )
    assert ended["error"]["page"] == 29


def test_a_stop_is_seen_when_they_are_confirmed(
    someone: ApiClient, remote: Source, stream: Item, patient: None
) -> None:
    def stop(page: int) -> None:
        if page == 5:
            Progress.objects.filter(pk=stream["id"]).update(stop_requested=True)
            connection.close()

    remote.on = stop
    ended = run(someone, stream)

    assert ended["status"] == "stopped"
    assert 5 <= ended["pages"] <= 5 + 2 * limits.CONFIRM_PAGES
    assert ended["records_unchanged"] == ended["pages"] * SIZE


def test_a_turn_that_ends_has_confirmed_them(
    someone: ApiClient, remote: Source, stream: Item, patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many turns it takes, each page is asked for once."""
    monkeypatch.setattr(limits, "TURN_SECONDS", 0.02)

    ended = run(someone, stream)

    assert (ended["status"], ended["pages"], ended["requests"]) == ("succeeded", PAGES, PAGES)
    assert remote.asked == list(range(1, PAGES + 1))


def leading_to(remote: Source, page: int, following: int | None) -> Answer:
    """The answer of a page when what came between it and another one is gone."""
    start = (page - 1) * SIZE
    target = remote.url(f"/links?start={(following - 1) * SIZE}") if following else None
    return as_json({"results": remote.items[start : start + SIZE], "next": target})


@pytest.mark.parametrize(("following", "pages"), [(33, PAGES - 2), (None, 30)])
def test_a_page_that_was_asked_for_in_vain_is_counted(
    someone: ApiClient,
    remote: Source,
    stream: Item,
    patient: None,
    following: int | None,
    pages: int,
) -> None:
    """Page 30 leads elsewhere than it did, which is seen when 31 has been asked for."""
    remote.on = lambda page: leading_to(remote, 30, following) if page == 30 else None

    ended = run(someone, stream, allow_deletes=True)

    assert (ended["status"], ended["pages"]) == ("succeeded", pages)
    assert ended["requests"] == pages + 1 == len(remote.asked)
    assert (ended["records_new"], ended["records_changed"]) == (0, 0)
    assert ended["records_deleted"] == (PAGES - pages) * SIZE
    assert len(present(someone, stream)) == pages * SIZE


def test_a_failure_counts_what_was_asked_for_in_vain(
    someone: ApiClient, remote: Source, stream: Item, patient: None
) -> None:
    remote.on = lambda page: Answer(200, b"<p>Sorry</p>") if page == 30 else None

    ended = run(someone, stream)

    assert (ended["status"], ended["pages"], ended["error"]["page"]) == ("failed", 29, 30)
    assert remote.asked == list(range(1, 32))
    assert ended["requests"] == 31


@pytest.mark.parametrize(
    "killed_at",
    [18, *(pytest.param(page, marks=pytest.mark.slow) for page in (2, 19, 30, PAGES))],
)
def test_whoever_is_killed_has_some_fetched_again_and_nothing_doubled(
    someone: ApiClient,
    remote: Source,
    stream: Item,
    workers: Workers,
    killed_at: int,
) -> None:
    has_died: list[int] = []

    def kill(page: int) -> None:
        if page == killed_at and not has_died:
            has_died.append(page)
            workers.kill()

    remote.on = kill
    begun = someone.post(f"/api/v1/streams/{stream['id']}/run", {}).json()
    workers.start()
    wait_until(lambda: bool(has_died), seconds=60)
    workers.wait_until_gone()
    let_time_pass()
    while read() or Run.objects.filter(status="running").exists():
        let_time_pass()

    ended = Run.objects.get(pk=begun["id"])
    assert (ended.status, ended.pages, ended.requests) == ("succeeded", PAGES, PAGES)
    assert (ended.records_new, ended.records_changed) == (0, 0)
    assert ended.records_unchanged == PAGES * SIZE
    again = len(remote.asked) - PAGES
    assert again <= 1 + limits.CONFIRM_PAGES
    numbers = (
        Page.objects.filter(run_id=ended.pk).order_by("number").values_list("number", flat=True)
    )
    assert list(numbers) == list(range(1, PAGES + 1))
    assert present(someone, stream) == remote.items
