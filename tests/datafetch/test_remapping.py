"""A new mapping, applied to pages that were fetched before."""

import random
import time
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from apps.common import clock
from apps.datafetch.models import Page, Progress, Record, Rejected, Run, Stream
from apps.datafetch.tasks import read
from apps.events.models import Event
from tests.conftest import MakeClient
from tests.datafetch.support import (
    PAGINATIONS,
    RemoteApi,
    as_json,
    get,
    get_run,
    items,
    let_time_pass,
    make_stream,
    present,
    query_of,
    records,
    run,
)
from tests.datafetch.workers import Workers
from tests.support import Answer, ApiClient, Receiver, wait_until
from tests.support.problems import assert_problem
from tests.support.receiver import Received

pytestmark = pytest.mark.django_db

LINKS = PAGINATIONS["/links"]


def change(client: ApiClient, stream: dict[str, Any], **changes: Any) -> None:
    answer = client.patch(f"/api/v1/streams/{stream['id']}", changes)
    assert answer.status_code == 200, answer.content


def remap(client: ApiClient, stream: dict[str, Any]) -> dict[str, Any]:
    """The run as it ended."""
    answer = client.post(f"/api/v1/streams/{stream['id']}/remap", {})
    assert answer.status_code == 202, answer.content
    read()
    return get_run(client, stream, answer.json()["id"])


def kept(client: ApiClient, stream: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/v1/streams/{stream['id']}/remap").json()
    return found


@pytest.mark.parametrize("path", PAGINATIONS)
def test_what_is_kept_is_mapped_anew_without_asking(
    someone: ApiClient, receiver: Receiver, path: str
) -> None:
    remote = RemoteApi(receiver, items(7))
    stream = make_stream(someone, remote.url(path), **PAGINATIONS[path])
    run(someone, stream)
    asked = len(receiver.requests)
    change(someone, stream, mapping={"label": "name"})

    ended = remap(someone, stream)

    assert (ended["status"], ended["trigger"], ended["error"]) == ("succeeded", "remap", None)
    assert (ended["records_changed"], ended["records_new"], ended["records_deleted"]) == (7, 0, 0)
    assert (ended["pages"], ended["checkpoint"]["pages_total"]) == (asked, asked)
    assert (ended["requests"], ended["bytes"], ended["full_refresh"]) == (0, 0, False)
    assert len(receiver.requests) == asked
    assert present(someone, stream) == [{"label": f"item {n}"} for n in range(1, 8)]
    versions = records(someone, stream, after=7)
    assert [(one["offset"], one["key"]) for one in versions] == [
        (7 + n, str(n)) for n in range(1, 8)
    ]
    shown = get(someone, stream)
    assert (shown["record_count"], shown["last_offset"]) == (7, 14)


def test_the_same_mapping_makes_no_version(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(7)).url("/links"), **LINKS)
    run(someone, stream)
    change(someone, stream, mapping={"label": "name"})
    remap(someone, stream)

    ended = remap(someone, stream)

    assert (ended["records_changed"], ended["records_unchanged"]) == (0, 7)
    assert get(someone, stream)["last_offset"] == 14


def test_a_mapping_can_be_taken_back(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(3)).url("/all"))
    run(someone, stream)
    change(someone, stream, mapping={"label": "name"})
    remap(someone, stream)
    change(someone, stream, mapping=None)

    remap(someone, stream)

    assert present(someone, stream) == items(3)


def test_the_next_run_finds_nothing_changed(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(7)).url("/links"), **LINKS)
    run(someone, stream)
    change(someone, stream, mapping={"label": "name"})
    remap(someone, stream)

    ended = run(someone, stream)

    assert (ended["records_unchanged"], ended["records_changed"], ended["records_deleted"]) == (
        7,
        0,
        0,
    )
    assert get(someone, stream)["last_offset"] == 14


def updated_since(receiver: Receiver, found: list[dict[str, Any]]) -> None:
    """An API that answers with what has changed since a moment."""

    def answer(request: Received) -> Answer:
        since = query_of(request).get("since", "")
        return as_json([one for one in found if one["at"] > since])

    receiver.answer("/changes", answer)


CURSOR = {"cursor": {"field": "at", "param": "since"}}


def test_of_several_pages_with_one_record_the_newest_counts(
    someone: ApiClient, receiver: Receiver
) -> None:
    found = [{"id": n, "at": f"2026-01-0{n}", "name": f"item {n}"} for n in (1, 2, 3)]
    updated_since(receiver, found)
    stream = make_stream(someone, receiver.url("/changes"), **CURSOR)
    run(someone, stream)
    found[0].update(name="another", at="2026-01-04")
    run(someone, stream)
    change(someone, stream, mapping={"label": "name"})

    ended = remap(someone, stream)

    assert present(someone, stream) == [
        {"label": "another"},
        {"label": "item 2"},
        {"label": "item 3"},
    ]
    assert ended["pages"] == 2
    assert ended["records_changed"] == 3


def test_no_record_goes_back_to_an_older_page(someone: ApiClient, receiver: Receiver) -> None:
    """The newest page that has it is kept no more, an older one is: it stays as it is, each time."""
    found = [{"id": n, "at": f"2026-01-0{n}", "name": f"item {n}"} for n in (1, 2)]
    updated_since(receiver, found)
    stream = make_stream(someone, receiver.url("/changes"), **CURSOR)
    run(someone, stream)
    found[0].update(name="another", at="2026-01-04")
    run(someone, stream)
    newest = Page.objects.order_by("-run_id").first()
    assert newest is not None

    change(someone, stream, mapping={"label": "name", "at": "at"})
    remap(someone, stream)
    Page.objects.filter(pk=newest.pk).update(body=None)
    change(someone, stream, mapping={"label": "name"})
    ended = remap(someone, stream)

    assert present(someone, stream) == [
        {"label": "another", "at": "2026-01-04"},
        {"label": "item 2"},
    ]
    assert ended["records_changed"] == 1


def test_what_is_kept_no_more_stays_as_it_is_and_is_told(
    someone: ApiClient, receiver: Receiver
) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(7)).url("/links"), **LINKS)
    run(someone, stream)
    Page.objects.filter(number=2).update(body=None)
    change(someone, stream, mapping={"label": "name"})

    figures = kept(someone, stream)
    ended = remap(someone, stream)

    assert (figures["pages"], figures["pages_known"]) == (2, 3)
    assert (figures["records"], figures["record_count"]) == (4, 7)
    assert figures["oldest_fetched_at"] <= figures["newest_fetched_at"]
    assert (ended["pages"], ended["records_changed"]) == (2, 4)
    assert present(someone, stream)[3:6] == items(7)[3:6]


def test_another_selection_adds_and_deletes_nothing(someone: ApiClient, receiver: Receiver) -> None:
    RemoteApi(receiver, [{"id": 1, "kind": "a"}, {"id": 2, "kind": "b"}, {"id": 3, "kind": "b"}])
    stream = make_stream(someone, receiver.url("/all"), records_path="[?kind=='a']")
    run(someone, stream)
    change(someone, stream, records_path="[?kind=='b']")

    ended = remap(someone, stream)

    assert (ended["records_new"], ended["records_deleted"]) == (2, 0)
    assert [one["id"] for one in present(someone, stream)] == [1, 2, 3]


def test_what_the_policy_rejected_can_be_let_in(someone: ApiClient, receiver: Receiver) -> None:
    remote = RemoteApi(receiver, items(2))
    stream = make_stream(someone, remote.url("/all"), schema_policy="reject")
    run(someone, stream)
    remote.items.append({"id": 3, "size": 5})
    assert run(someone, stream)["records_rejected"] == 1
    change(someone, stream, schema_policy="evolve")

    ended = remap(someone, stream)

    assert (ended["records_new"], ended["records_rejected"]) == (1, 0)
    assert present(someone, stream) == remote.items


def test_a_mapping_that_finds_no_records_fails_the_run_alone(
    someone: ApiClient, receiver: Receiver
) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(2)).url("/all"))
    run(someone, stream)
    change(someone, stream, records_path="nowhere")

    ended = remap(someone, stream)

    assert (ended["status"], ended["error"]["code"]) == ("failed", "records_not_found")
    assert get(someone, stream)["health"] == "ok"
    assert present(someone, stream) == items(2)
    types = Event.objects.filter(subject=stream["id"]).order_by("sequence")
    assert [one.type for one in types][-1] == "stream.run_failed"


def test_records_that_no_longer_fit_are_rejected(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(2)).url("/all"))
    run(someone, stream)
    change(someone, stream, mapping={"sum": "abs(name)"})

    ended = remap(someone, stream)

    assert (ended["status"], ended["records_rejected"]) == ("succeeded", 2)
    assert Rejected.objects.filter(run_id=ended["id"]).count() == 2
    assert present(someone, stream) == items(2)


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        ({}, {"primary_key": "name"}),
        ({"primary_key": "label", "mapping": {"label": "id"}}, {"mapping": {"label": "name"}}),
        ({"primary_key": '"a-b"', "mapping": {"a-b": "id"}}, {"mapping": {"a-b": "name"}}),
        ({"primary_key": "a || b", "mapping": {"a": "id"}}, {"mapping": {"a": "name"}}),
    ],
)
def test_pages_from_before_a_change_of_keys_are_not_read_again(
    someone: ApiClient, receiver: Receiver, config: dict[str, Any], changes: dict[str, Any]
) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(3)).url("/all"), **config)
    run(someone, stream)
    change(someone, stream, **changes)

    refused = someone.post(f"/api/v1/streams/{stream['id']}/remap", {})

    assert_problem(refused, 409)
    assert refused.json()["code"] == "nothing_kept"
    assert (kept(someone, stream)["pages"], kept(someone, stream)["pages_known"]) == (0, 1)
    assert Record.objects.count() == 3


def test_where_it_cannot_be_done_it_is_refused(
    someone: ApiClient, api: MakeClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, items(3))
    fresh = make_stream(someone, remote.url("/all"))
    keyless = make_stream(someone, remote.url("/all"), primary_key=None)
    busy = make_stream(someone, remote.url("/all"))
    for stream in (keyless, busy):
        run(someone, stream)
    someone.post(f"/api/v1/streams/{busy['id']}/run", {})

    codes = {}
    for name, stream in (("fresh", fresh), ("keyless", keyless), ("busy", busy)):
        refused = someone.post(f"/api/v1/streams/{stream['id']}/remap", {})
        assert_problem(refused, 409)
        codes[name] = refused.json()["code"]

    assert codes == {
        "fresh": "nothing_kept",
        "keyless": "not_remappable",
        "busy": "run_in_progress",
    }
    assert_problem(api().post(f"/api/v1/streams/{busy['id']}/remap", {}), 404)
    assert_problem(api().get(f"/api/v1/streams/{busy['id']}/remap"), 404)


def test_a_run_does_not_join_a_remap_and_comes_after_it(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, items(3))
    stream = make_stream(someone, remote.url("/all"))
    run(someone, stream)
    someone.post(f"/api/v1/streams/{stream['id']}/remap", {})

    refused = someone.post(f"/api/v1/streams/{stream['id']}/run", {})
    started = someone.post(f"/api/v1/streams/{stream['id']}/start", {})
    asked = len(receiver.requests)
    read()

    assert_problem(refused, 409)
    assert refused.json()["code"] == "run_in_progress"
    assert started.status_code == 200
    assert len(receiver.requests) == asked + 1
    triggers = Run.objects.order_by("id").values_list("trigger", flat=True)
    assert list(triggers) == ["manual", "remap", "schedule"]


def test_a_stop_ends_it_and_the_schedule_is_kept(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(3)).url("/all"))
    someone.post(f"/api/v1/streams/{stream['id']}/start", {})
    read()
    planned = get(someone, stream)["next_run_at"]

    ended = remap(someone, stream)
    assert (ended["status"], get(someone, stream)["next_run_at"]) == ("succeeded", planned)

    begun = someone.post(f"/api/v1/streams/{stream['id']}/remap", {}).json()
    someone.post(f"/api/v1/streams/{stream['id']}/stop", {})
    read()
    assert get_run(someone, stream, begun["id"])["status"] == "stopped"
    assert get(someone, stream)["next_run_at"] is None


def test_a_mapping_that_changes_meanwhile_is_applied_from_the_first_page(
    someone: ApiClient, receiver: Receiver
) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(7)).url("/links"), **LINKS)
    run(someone, stream)
    change(someone, stream, mapping={"label": "name"})
    begun = someone.post(f"/api/v1/streams/{stream['id']}/remap", {}).json()
    change(someone, stream, mapping={"title": "name"})

    read()

    ended = get_run(someone, stream, begun["id"])
    assert (ended["status"], ended["checkpoint"]["reading"]) == ("succeeded", 2)
    assert present(someone, stream) == [{"title": f"item {n}"} for n in range(1, 8)]


def test_progress_is_shown(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(7)).url("/links"), **LINKS)
    ended = run(someone, stream)
    assert ended["records_per_second"] > 0

    begun = someone.post(f"/api/v1/streams/{stream['id']}/remap", {}).json()

    assert begun["checkpoint"] == {"pages": 0, "pages_total": 3, "reading": 1}
    assert (begun["status"], begun["records_per_second"]) == ("running", 0.0)
    assert Stream.objects.get().keyed_at is None


@pytest.mark.django_db(transaction=True)
def test_a_remap_of_killed_workers_is_as_if_nobody_had_been_killed(
    someone: ApiClient,
    receiver: Receiver,
    workers: Workers,
) -> None:
    chance = random.Random(7)
    stream = make_stream(
        someone, RemoteApi(receiver, items(240, text="x" * 200)).url("/links"), **LINKS
    )
    run(someone, stream)
    asked = len(receiver.requests)
    change(someone, stream, mapping={"label": "name"})
    begun = someone.post(f"/api/v1/streams/{stream['id']}/remap", {}).json()
    killed = 0

    def has_come_to(page: int) -> bool:
        found = Run.objects.get(pk=begun["id"])
        return found.status != "running" or found.pages >= page

    while killed < 12:
        pages = Run.objects.get(pk=begun["id"]).pages
        workers.start()
        wait_until(partial(has_come_to, pages + 1), seconds=30)
        time.sleep(chance.uniform(0, 0.03))  # wherever it is by now
        workers.kill()
        workers.wait_until_gone()
        killed += 1
        let_time_pass()
        Progress.objects.update(claims=0)
        if has_come_to(10**6):
            break
    workers.start()
    wait_until(partial(has_come_to, 10**6), seconds=60)

    assert killed > 3
    ended = get_run(someone, stream, begun["id"])
    assert (ended["status"], ended["pages"]) == ("succeeded", 80)
    assert (ended["records_new"], ended["records_changed"]) == (0, 240)
    assert [one["offset"] for one in records(someone, stream)] == list(range(1, 481))
    assert present(someone, stream) == [{"label": f"item {n}"} for n in range(1, 241)]
    assert len(receiver.requests) == asked


def test_a_mapping_that_is_taken_back_without_a_remap_is_applied_by_the_next_run(
    someone: ApiClient, receiver: Receiver
) -> None:
    """Pages that a remap has read are not believed to be stored as they were read once."""
    stream = make_stream(someone, RemoteApi(receiver, items(7)).url("/links"), **LINKS)
    run(someone, stream)
    change(someone, stream, mapping={"label": "name"})
    remap(someone, stream)
    change(someone, stream, mapping=None)

    run(someone, stream)

    assert present(someone, stream) == items(7)


def test_a_schedule_that_changes_meanwhile_is_kept(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(
        someone, RemoteApi(receiver, items(3)).url("/all"), interval_seconds=20 * 86400
    )
    someone.post(f"/api/v1/streams/{stream['id']}/start", {})
    read()
    someone.post(f"/api/v1/streams/{stream['id']}/remap", {})
    change(someone, stream, interval_seconds=60)
    asked = len(receiver.requests)

    read()

    planned = datetime.fromisoformat(get(someone, stream)["next_run_at"])
    assert planned - clock.now() < timedelta(minutes=2)
    assert Run.objects.filter(status="succeeded").count() == 2
    assert len(receiver.requests) == asked
