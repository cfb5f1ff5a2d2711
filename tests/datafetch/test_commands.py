"""Start, stop, run: honest answers, from each door."""

import io
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from apps.common.leases import claim
from apps.datafetch.limits import (
    LEASE_SECONDS,
    MAX_CLAIMS,
    PAUSE_AFTER,
    PROBE_RARELY_SECONDS,
    PROBE_SECONDS,
)
from apps.datafetch.models import Page, Progress, Record, Rejected, Run, SchemaVersion, Stream
from apps.datafetch.services import commands, due, streams
from apps.datafetch.services.schedule import next_time
from apps.datafetch.tasks import read, remove
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
    records,
    run,
)
from tests.support import Answer, ApiClient, Receiver, concurrently, wait_until
from tests.support.receiver import Received

pytestmark = pytest.mark.django_db


def do(client: ApiClient, stream: dict[str, Any], command: str, **body: Any) -> Any:
    return client.post(f"/api/v1/streams/{stream['id']}/{command}", body)


def types_of(stream: dict[str, Any]) -> list[str]:
    events = Event.objects.filter(subject=stream["id"]).order_by("sequence")
    return [event.type for event in events]


def test_a_stream_is_made_stopped_and_starts_at_once(
    someone: ApiClient, receiver: Receiver
) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(3)).url("/all"))
    assert (stream["state"], stream["health"]) == ("stopped", "never_run")
    assert stream["last_run"] is stream["next_run_at"] is None

    started = do(someone, stream, "start")

    assert started.status_code == 200
    assert (started.json()["state"], started.json()["last_run"]["status"]) == ("running", "running")
    read()
    shown = get(someone, stream)
    assert (shown["health"], shown["last_run"]["trigger"]) == ("ok", "start")
    planned = datetime.fromisoformat(shown["next_run_at"]) - datetime.now(UTC)
    assert timedelta(seconds=280) < planned <= timedelta(seconds=330)


def test_starting_twice_and_stopping_twice_is_said(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(3)).url("/all"))

    answers = [
        do(someone, stream, command) for command in ("stop", "start", "start", "stop", "stop")
    ]

    assert [(one.status_code, one.json().get("code")) for one in answers] == [
        (409, "not_running"),
        (200, None),
        (409, "already_running"),
        (200, None),
        (409, "not_running"),
    ]
    assert types_of(stream) == ["stream.started", "stream.stopped"]


def test_a_stopped_stream_is_not_read(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(3)).url("/all"))
    do(someone, stream, "start")

    do(someone, stream, "stop")
    read()
    let_time_pass()
    read()

    assert receiver.requests == []
    shown = get(someone, stream)
    assert (shown["state"], shown["next_run_at"]) == ("stopped", None)
    assert shown["last_run"]["status"] == "stopped"


def test_run_runs_a_stopped_stream_once(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(3)).url("/all"))

    ended = run(someone, stream)

    assert (ended["status"], ended["trigger"]) == ("succeeded", "manual")
    shown = get(someone, stream)
    assert (shown["state"], shown["next_run_at"]) == ("stopped", None)
    assert do(someone, stream, "stop").status_code == 409
    assert types_of(stream) == ["stream.run_succeeded"]


def test_run_joins_the_run_in_progress(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(3)).url("/all"))

    first, second = do(someone, stream, "run"), do(someone, stream, "run")
    started = do(someone, stream, "start")

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"] == started.json()["last_run"]["id"]
    read()
    assert len(receiver.requests) == Run.objects.count() == 1


def test_a_run_of_a_stopped_stream_can_be_stopped(someone: ApiClient, receiver: Receiver) -> None:
    receiver.answer("/", Answer(503))
    stream = make_stream(someone, receiver.url("/"))
    begun = do(someone, stream, "run").json()
    read()

    assert do(someone, stream, "stop").status_code == 200
    assert do(someone, stream, "stop").status_code == 409

    read()  # the wait for the retry ends with it
    ended = someone.get(f"/api/v1/streams/{stream['id']}/runs/{begun['id']}").json()
    assert ended["status"] == "stopped"
    assert len(receiver.requests) == 1


def test_all_of_mine_and_nobody_elses(
    someone: ApiClient, api: MakeClient, receiver: Receiver
) -> None:
    url = RemoteApi(receiver, items(1)).url("/all")
    mine = [make_stream(someone, url) for _ in range(3)]
    other = api()
    theirs = make_stream(other, url)
    do(someone, mine[0], "start")

    started = someone.post("/api/v1/streams/start", {})
    again = someone.post("/api/v1/streams/start", {})

    assert {one["id"] for one in started.json()["results"]} == {one["id"] for one in mine[1:]}
    assert (again.status_code, again.json()) == (200, {"results": []})
    assert {get(someone, one)["state"] for one in mine} == {"running"}
    assert get(other, theirs)["state"] == "stopped"
    read()
    assert {get(someone, one)["health"] for one in mine} == {"ok"}
    stopped = someone.post("/api/v1/streams/stop", {})
    assert len(stopped.json()["results"]) == 3
    assert {get(someone, one)["state"] for one in mine} == {"stopped"}


def test_a_schedule_runs_again_and_what_was_missed_runs_once(
    someone: ApiClient, receiver: Receiver
) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(1)).url("/all"), interval_seconds=60)
    do(someone, stream, "start")
    read()
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    Progress.objects.update(due_at=hour_ago, next_run_at=hour_ago)
    Run.objects.update(started_at=hour_ago)

    read()
    read()

    assert [one.trigger for one in Run.objects.order_by("pk")] == ["start", "schedule"]
    assert get(someone, stream)["next_run_at"] > datetime.now(UTC).isoformat()


@pytest.mark.parametrize(
    ("config", "least", "most"),
    [
        ({"interval_seconds": 300}, 300, 330),
        ({"interval_seconds": 10}, 10, 11),
        ({"interval_seconds": 86_400}, 86_400, 86_430),
        ({"cron": "*/15 * * * *"}, 900, 930),
        ({"cron": "0 0 * * *"}, 12 * 3600, 12 * 3600 + 30),
    ],
)
def test_the_next_time_has_some_jitter(config: dict[str, Any], least: int, most: int) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    stream = Stream(**config)

    times = {(next_time(stream, after=noon, now=noon) - noon).total_seconds() for _ in range(50)}

    assert all(least <= seconds <= most for seconds in times)
    assert len(times) > 1


def test_what_is_overdue_is_due_now_and_what_fails_is_only_probed() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    stream = Stream(interval_seconds=60)

    late = next_time(stream, after=noon - timedelta(days=3), now=noon)
    probed = next_time(stream, after=noon, now=noon, paused_at=noon)
    rarely = next_time(stream, after=noon, now=noon, paused_at=noon - timedelta(days=8))

    assert late == noon
    assert PROBE_SECONDS <= (probed - noon).total_seconds() < PROBE_RARELY_SECONDS
    assert (rarely - noon).total_seconds() >= PROBE_RARELY_SECONDS


def test_after_many_failures_it_is_paused_and_the_probe_that_succeeds_ends_that(
    someone: ApiClient, receiver: Receiver
) -> None:
    receiver.answer("/", Answer(404), as_json(items(1)))
    stream = make_stream(someone, receiver.url("/"))
    do(someone, stream, "start")
    two_days_ago = datetime.now(UTC) - timedelta(days=2)
    Progress.objects.update(failures=PAUSE_AFTER - 1, failing_since=two_days_ago)

    read()
    paused = get(someone, stream)
    let_time_pass()
    read()

    assert paused["paused_at"] is not None
    assert get(someone, stream)["paused_at"] is None
    assert get(someone, stream)["health"] == "ok"
    assert types_of(stream)[-1] == "stream.recovered"


def test_a_stream_that_kills_its_workers_is_given_up(
    someone: ApiClient, receiver: Receiver
) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(1)).url("/all"))
    do(someone, stream, "run")
    Progress.objects.update(claims=MAX_CLAIMS)

    read()

    assert get(someone, stream)["last_run"]["error"]["code"] == "worker_failed"
    assert receiver.requests == []


@pytest.mark.django_db(transaction=True)
def test_one_of_many_starts_at_once_wins(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(1)).url("/all"))

    statuses = concurrently(8, lambda _: do(someone, stream, "start").status_code)

    assert sorted(statuses) == [200] + [409] * 7
    assert Run.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_however_many_workers_look_a_stream_is_read_by_one(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, items(30))
    at_once, most, lock = 0, 0, threading.Lock()

    def counting(request: Received) -> Answer:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        answer = remote._links(request)
        with lock:
            at_once -= 1
        return answer

    receiver.answer("/links", counting)
    stream = make_stream(someone, remote.url("/links"), **PAGINATIONS["/links"])
    do(someone, stream, "start")

    concurrently(4, lambda _: read())

    assert most == 1
    assert present(someone, stream) == remote.items
    assert len(receiver.requests) == 10
    assert [one["offset"] for one in records(someone, stream)] == list(range(1, 31))


@pytest.mark.django_db(transaction=True)
def test_stopping_ends_the_run_at_its_next_page_and_keeps_what_it_has(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, items(9))
    stream = make_stream(someone, remote.url("/links"), **PAGINATIONS["/links"])
    do(someone, stream, "start")

    def stopping(request: Received) -> Answer:
        if len(receiver.at("/links")) == 2:
            concurrently(1, lambda _: do(someone, stream, "stop"))
        return remote._links(request)

    receiver.answer("/links", stopping)

    read()

    shown = get(someone, stream)
    assert (shown["state"], shown["last_run"]["status"]) == ("stopped", "stopped")
    assert (shown["last_run"]["pages"], shown["record_count"]) == (2, 6)


@pytest.mark.django_db(transaction=True)
def test_a_change_while_it_reads_makes_the_run_begin_anew(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, items(9))
    stream = make_stream(someone, remote.url("/links"), **PAGINATIONS["/links"])
    do(someone, stream, "run")

    def changing(request: Received) -> Answer:
        if len(receiver.at("/links")) == 2:
            change = {"url": remote.url("/pages"), **PAGINATIONS["/pages"]}
            concurrently(1, lambda _: someone.patch(f"/api/v1/streams/{stream['id']}", change))
        return remote._links(request)

    receiver.answer("/links", changing)

    read()

    assert len(receiver.at("/links")) == 2
    assert get(someone, stream)["last_run"]["status"] == "succeeded"
    assert present(someone, stream) == remote.items


def test_a_dead_workers_run_is_taken_over_within_a_minute(
    someone: ApiClient, receiver: Receiver
) -> None:
    """Its lease is all that is in the way, and each page renewed it for less than that."""
    remote = RemoteApi(receiver, items(3))
    stream = make_stream(someone, remote.url("/all"))
    do(someone, stream, "run")
    progress = Progress.objects.get()
    now = datetime.now(UTC)
    Progress.objects.update(lease_id=uuid4(), lease_until=now + timedelta(seconds=LEASE_SECONDS))

    read()
    assert receiver.requests == []
    Progress.objects.update(lease_until=now - timedelta(seconds=1))
    read()

    assert LEASE_SECONDS < 55
    assert get(someone, stream)["last_run"]["id"] == str(progress.run_id)
    assert get(someone, stream)["last_run"]["status"] == "succeeded"


def test_a_deleted_stream_is_gone_at_once_and_its_records_soon(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, [*items(3), 5])
    stream = make_stream(someone, remote.url("/all"), auth={"type": "bearer", "token": "secret"})
    run(someone, stream)
    do(someone, stream, "run")

    assert someone.delete(f"/api/v1/streams/{stream['id']}").status_code == 204

    assert someone.get(f"/api/v1/streams/{stream['id']}").status_code == 404
    assert someone.delete(f"/api/v1/streams/{stream['id']}").status_code == 404
    assert do(someone, stream, "start").status_code == 404
    assert someone.get("/api/v1/streams").json()["results"] == []
    assert Stream.objects.get().secrets == "{}"
    read()
    remove()
    for model in (Stream, Progress, Record, Page, Rejected):
        assert not model.objects.exists()
    assert len(receiver.requests) == 1


def test_the_command_line_does_the_same(someone: ApiClient, receiver: Receiver) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(1)).url("/all"))
    said = io.StringIO()

    call_command("streams", "start", stream["id"], stdout=said)
    call_command("streams", "list", stdout=said)
    call_command("streams", "start", "--account", someone.account.slug, stdout=said)

    assert get(someone, stream)["state"] == "running"
    done, listed, refused = said.getvalue().splitlines()
    assert done.endswith("a stream: done")
    assert "running, never_run, 0 records" in listed
    assert "running already" in refused
    with pytest.raises(CommandError, match="stayed"):
        call_command("streams", "start", stream["id"], stdout=said)
    with pytest.raises(CommandError, match="no stream"):
        call_command("streams", "stop", str(uuid4()), stdout=said)


@pytest.mark.django_db(transaction=True)
def test_a_change_that_a_page_waits_for_makes_the_run_begin_anew(
    someone: ApiClient, receiver: Receiver
) -> None:
    """The page's transaction waits for the lock of the change, and must see what was changed."""
    remote = RemoteApi(receiver, items(9))
    made = make_stream(someone, remote.url("/links"), **PAGINATIONS["/links"])
    stream = Stream.objects.get(pk=made["id"])
    do(someone, made, "run")
    has_changed = threading.Event()

    def somebody_waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return bool(cursor.fetchone()[0])

    def change() -> None:
        with transaction.atomic():
            streams.update_stream(
                account_id=stream.account_id,
                stream_id=stream.id,
                changes={"mapping": {"label": "name"}},
            )
            has_changed.set()
            wait_until(somebody_waits)
        connection.close()

    changing = threading.Thread(target=change)

    def answer(request: Received) -> Answer:
        if len(receiver.at("/links")) == 2:
            changing.start()
            assert has_changed.wait(20)
        return remote._links(request)

    receiver.answer("/links", answer)

    read()

    changing.join(20)
    last_run = get(someone, made)["last_run"]
    assert (last_run["status"], last_run["checkpoint"]["reading"]) == ("succeeded", 2)
    assert present(someone, made) == [{"label": f"item {n}"} for n in range(1, 10)]


@pytest.mark.django_db(transaction=True)
def test_a_worker_with_a_new_schema_waits_for_no_command(
    someone: ApiClient, receiver: Receiver
) -> None:
    """It holds the progress already: a command that holds the stream and waits for that would wait for ever."""
    stream = Stream.objects.get(pk=make_stream(someone, receiver.url("/"))["id"])

    def add(number: int) -> int:
        SchemaVersion.objects.create(stream=stream, number=number, schema={}, run_id=stream.id)
        return number

    with transaction.atomic():
        commands.locked(stream.account_id, stream.id)

        assert concurrently(1, add) == [0]


@pytest.mark.parametrize("command", ["run", "remap"])
def test_what_is_begun_just_before_a_scheduled_run_takes_its_place(
    someone: ApiClient, receiver: Receiver, command: str
) -> None:
    """The worker has claimed the stream for its schedule, and begun nothing yet."""
    stream = make_stream(someone, RemoteApi(receiver, items(3)).url("/all"))
    do(someone, stream, "start")
    read()
    let_time_pass()
    (claimed,) = claim(Progress.objects.all(), limit=1, lease_seconds=LEASE_SECONDS)
    begun = do(someone, stream, command).json()

    due._take_turn(claimed)

    assert get_run(someone, stream, begun["id"])["status"] == "succeeded"
    assert Run.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_stop_does_not_wait_for_the_next_try(someone: ApiClient, receiver: Receiver) -> None:
    """It came while a page was asked for that the server wants to be asked for in an hour."""
    stream = make_stream(someone, receiver.url("/busy"))

    def answer(request: Received) -> Answer:
        concurrently(1, lambda _: do(someone, stream, "stop"))
        return Answer(503, b"", {"Retry-After": "3600"})

    receiver.answer("/busy", answer)
    do(someone, stream, "start")

    read()

    assert get(someone, stream)["last_run"]["status"] == "stopped"
    assert len(receiver.requests) == 1
