"""Replays: what they send again, at which pace, and what becomes of them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from standardwebhooks import Webhook

from apps.common import clock
from apps.events.channels import channel_of, join, leave
from apps.events.dispatch import dispatch
from apps.events.models import Event
from apps.webhooks import replays
from apps.webhooks.enums import Lane
from apps.webhooks.errors import ReplayEnded, ReplayInProgress
from apps.webhooks.events import TEST
from apps.webhooks.models import Delivery, Due, Endpoint, Replay
from tests.conftest import MakeAccount, MakeClient
from tests.support import Answer, Receiver, concurrently, run_jobs, wait_until
from tests.support.process import ROOT, database_url
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.replaying import answer_all, past_events, run_out, start

pytestmark = pytest.mark.django_db(transaction=True)

Send = Callable[[], None]


def finished(replay: Replay) -> Replay:
    run_out()
    replay.refresh_from_db()
    return replay


def test_all_events_are_sent_again_and_marked(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    api: MakeClient, make_account: MakeAccount,
) -> None:  # fmt: skip
    account = make_account()
    before = publish_event(account)
    send()
    endpoint = make_endpoint(receiver.url(), account=account)
    after = publish_event(account)
    send()
    client = api(account=account)
    url = f"/api/v1/webhook-endpoints/{endpoint.id}/replays"

    started = client.post(url, {"since": "2020-01-01T00:00:00Z", "only": "all"})
    assert started.status_code == 202
    assert started.json()["total"] == 2
    assert started.headers["Location"] == f"{url}/{started.json()['id']}"

    def status() -> Any:
        run_jobs()
        return client.get(f"{url}/{started.json()['id']}").json()["status"]

    wait_until(lambda: status() == "completed")

    requests = receiver.requests
    assert [one.headers.get("webhook-replay") for one in requests] == [
        None, started.json()["id"], started.json()["id"],
    ]  # fmt: skip
    assert requests[0].headers["webhook-id"] == str(after)
    bodies = {one.headers["webhook-id"]: one.body for one in requests[1:]}
    assert bodies.keys() == {str(before), str(after)}
    assert bodies[str(after)] == requests[0].body
    for one in requests:
        assert Webhook(endpoint.secret or "").verify(one.body, dict(one.headers.items()))
    seen = client.get(f"{url}/{started.json()['id']}").json()
    assert (seen["processed"], seen["skipped"]) == (2, 0)
    assert seen["deliveries"] == {
        "pending": 0, "delivered": 2, "failed": 0, "parked": 0, "canceled": 0,
    }  # fmt: skip
    assert Delivery.objects.count() == 2, "one delivery of each event, however often it is sent"
    listed = client.get(
        f"/api/v1/webhook-endpoints/{endpoint.id}/deliveries?replay_id={seen['id']}"
    )
    assert len(listed.json()["results"]) == 2


def test_only_what_failed_is_sent_again(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    endpoint = make_endpoint(receiver.url())
    events = [publish_event(endpoint.account) for _ in range(5)]
    send()
    for event, status, reason in (
        (events[0], "failed", "exhausted"),
        (events[1], "parked", "quarantined"),
        (events[2], "canceled", "not_visible"),
    ):
        Delivery.objects.filter(event_id=event).update(status=status, reason=reason)
    first_requests = len(receiver.requests)

    replay = start(endpoint, only="failed")
    replays.continue_replay()
    send()

    assert replay.total == 2
    assert {one.headers["webhook-id"] for one in receiver.requests[first_requests:]} == {
        str(events[0]), str(events[1]),
    }  # fmt: skip
    assert finished(replay).status == "completed"


def test_what_fails_while_it_runs_is_not_its_business(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent
) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    publish_event(endpoint.account)
    dispatch()
    replay = start(endpoint, only="failed")
    Due.objects.all().delete()
    Delivery.objects.update(status="failed", reason="exhausted", updated_at=Now())

    assert finished(replay).processed == 0
    assert Delivery.objects.get().status == "failed"


def test_it_can_be_narrowed_to_types_and_times(make_endpoint: MakeEndpoint) -> None:
    endpoint = make_endpoint(
        "http://127.0.0.1:1/", event_types=["order.*", "webhook_endpoint.disabled"]
    )
    account = endpoint.account
    past_events(account, 3, type="order.created", age=timedelta(hours=5))
    past_events(account, 4, type="order.created", age=timedelta(hours=3))
    past_events(account, 5, type="order.shipped", age=timedelta(hours=3))
    past_events(account, 6, type="deal.created", age=timedelta(hours=3))
    past_events(account, 7, type="order.created", age=timedelta(hours=1))
    now = clock.now()

    def total(**options: Any) -> int:
        replay = start(endpoint, **options)
        replays.cancel_replay(account_id=account.id, endpoint_id=endpoint.id, replay_id=replay.id)
        return replay.total

    span = {"since": now - timedelta(hours=4), "until": now - timedelta(hours=2)}
    assert total() == 3 + 4 + 5 + 7
    assert total(**span) == 4 + 5
    assert total(**span, event_types=["order.shipped"]) == 5
    assert total(**span, event_types=["deal.*"]) == 0, "the endpoint does not listen to these"
    assert total(since=now - timedelta(hours=2)) == 7


def test_neither_tests_nor_what_is_said_of_the_endpoint_itself_are_replayed(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent
) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    publish_event(endpoint.account, type=TEST)
    publish_event(endpoint.account, subject=endpoint.id)
    publish_event(endpoint.account)
    dispatch()

    assert start(endpoint).total == 1


def test_members_of_now_get_the_events_of_a_channel(
    make_endpoint: MakeEndpoint, make_account: MakeAccount
) -> None:
    seller, buyer = make_account(), make_account()
    channel = channel_of(seller.id, "deals")
    join(channel, buyer.id)
    endpoint = make_endpoint("http://127.0.0.1:1/", account=buyer)
    past_events(seller, 3, channel=channel.id)

    replay = start(endpoint)
    assert replay.total == 3
    leave(channel, buyer.id)
    assert finished(replay).processed == 0
    assert not Delivery.objects.exists()


def test_a_member_that_leaves_after_it_was_owed_gets_nothing(
    make_endpoint: MakeEndpoint, make_account: MakeAccount, receiver: Receiver, send: Send
) -> None:
    seller, buyer = make_account(), make_account()
    channel = channel_of(seller.id, "deals")
    join(channel, buyer.id)
    endpoint = make_endpoint(receiver.url(), account=buyer)
    past_events(seller, 1, channel=channel.id)
    start(endpoint)
    replays.continue_replay()
    leave(channel, buyer.id)

    send()

    assert receiver.requests == []
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.reason) == ("canceled", "not_visible")


def test_what_is_on_its_way_already_is_not_sent_twice(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent
) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    publish_event(endpoint.account)
    Endpoint.objects.update(status="disabled", disabled_reason="operator")
    dispatch()
    Endpoint.objects.update(status="enabled", disabled_reason="")
    publish_event(endpoint.account)
    dispatch()
    Due.objects.update(lease_id=None, lease_until=None, ready=False)
    owed = set(Due.objects.values_list("pk", flat=True))

    replay = start(endpoint)
    replays.continue_replay()

    replay.refresh_from_db()
    assert (replay.processed, replay.skipped) == (2, 1)
    assert set(Due.objects.values_list("pk", flat=True)) > owed
    assert Due.objects.count() == 2


def test_what_has_not_been_fanned_out_yet_is_left_to_the_fan_out(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent
) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    publish_event(endpoint.account)
    dispatch()
    answer_all()
    publish_event(endpoint.account)

    replay = start(endpoint)
    dispatch()

    assert replay.total == 1
    assert finished(replay).processed == 1
    assert Delivery.objects.count() == 2


def test_retries_of_it_stay_marked(
    make_endpoint: MakeEndpoint, receiver: Receiver, send: Send
) -> None:
    receiver.answer("/", Answer(500), Answer(204))
    endpoint = make_endpoint(receiver.url())
    past_events(endpoint.account, 1)
    replay = start(endpoint)
    replays.continue_replay()

    send()
    Due.objects.filter(ready=False).update(due_at=Now())
    send()

    assert [one.headers["webhook-replay"] for one in receiver.requests] == [str(replay.id)] * 2


def test_ordered_endpoints_get_replays_in_order_too(make_endpoint: MakeEndpoint) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    Endpoint.objects.update(ordered=True)
    past_events(endpoint.account, 5)

    start(endpoint)
    replays.continue_replay()

    owed = list(Due.objects.order_by("due_at"))
    assert [one.lane for one in owed] == [Lane.REPLAY] * 5
    assert [one.position for one in owed] == sorted(one.position or 0 for one in owed)
    deliveries = {one.id: one.subject for one in Delivery.objects.all()}
    assert {one.id: one.order_key for one in owed} == deliveries


@pytest.mark.parametrize("count", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_events_are_owed_set_wise(make_endpoint: MakeEndpoint, count: int) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    past_events(endpoint.account, count)

    replay = start(endpoint, rate=1000)
    assert replay.total == count
    with CaptureQueriesContext(connection) as queries:
        replays.continue_replay()
    assert len(queries) <= 12
    assert Due.objects.count() == 1000

    assert finished(replay).status == "completed"
    assert replay.processed == count
    assert (
        Delivery.objects.values("event_id").distinct().count() == Delivery.objects.count() == count
    )


def test_more_than_one_statement_counts_are_counted_before_the_first_is_owed(
    make_endpoint: MakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "COUNT_BATCH", 10)
    endpoint = make_endpoint("http://127.0.0.1:1/")
    past_events(endpoint.account, 35)

    replay = start(endpoint)
    assert not replay.is_counted
    while not replay.is_counted:
        assert not Due.objects.exists()
        replays.continue_replay()
        replay.refresh_from_db()

    assert replay.total == 35
    assert finished(replay).processed == 35


def test_several_workers_share_a_replay_and_owe_nothing_twice(make_endpoint: MakeEndpoint) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    past_events(endpoint.account, 600)
    replay = start(endpoint, rate=1000)
    Replay.objects.update(rate=100)

    def work(worker: int) -> None:
        for _ in range(30):
            Replay.objects.exclude(due_at=None).update(due_at=Now())
            if worker == 0:
                answer_all()
            replays.continue_replay()

    concurrently(4, work)

    assert Delivery.objects.exists()
    assert finished(replay).processed == 600
    assert Delivery.objects.count() == 600
    assert Delivery.objects.values("event_id").distinct().count() == 600


_WORKER = """
import django
django.setup()
from apps.webhooks.replays import continue_replay
from apps.webhooks.models import Replay
from tests.webhooks.replaying import answer_all
from django.db.models.functions import Now
print("ready", flush=True)
while True:
    Replay.objects.exclude(due_at=None).update(due_at=Now())
    answer_all()
    continue_replay()
"""


@pytest.mark.slow
def test_a_worker_that_is_killed_in_the_middle_costs_nothing_and_doubles_nothing(
    make_endpoint: MakeEndpoint,
) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    past_events(endpoint.account, 6000)  # so many that it cannot be over when it is looked at next
    replay = start(endpoint, rate=60)

    def has_come_past(count: int) -> bool:
        replay.refresh_from_db()
        return replay.processed >= count

    for goal in (200, 600):
        worker = subprocess.Popen(
            [sys.executable, "-c", _WORKER],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": database_url(), "DATABASE_POOL_SIZE": "2"},
            stdout=subprocess.PIPE,
        )
        try:
            wait_until(lambda: has_come_past(goal), seconds=60, what=f"{goal} events")  # noqa: B023
        finally:
            worker.kill()
            worker.communicate(timeout=10)
        assert Delivery.objects.count() == Replay.objects.get().processed, "one transaction"

    assert replay.status == "running"
    assert finished(replay).status == "completed"
    assert replay.processed == 6000
    assert Delivery.objects.count() == 6000
    assert Delivery.objects.values("event_id").distinct().count() == 6000


def test_it_keeps_to_its_rate_and_does_not_get_far_ahead(make_endpoint: MakeEndpoint) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    past_events(endpoint.account, 100)
    replay = start(endpoint, rate=10)

    while replays.continue_replay():
        pass
    owed, took = Due.objects.count(), clock.now() - replay.created_at
    assert 10 <= owed <= 10 + 10 * took.total_seconds()
    replay.refresh_from_db()
    assert replay.due_at is not None
    assert replay.due_at >= replay.created_at + timedelta(seconds=owed / 10)

    for _ in range(5):
        Replay.objects.update(due_at=Now())
        replays.continue_replay()
    assert Due.objects.count() == 20, "until these have been tried"
    Due.objects.update(lane=Lane.SLOW)
    Due.objects.filter(pk__in=Due.objects.values("pk")[:10]).update(
        ready=False, is_behind=True, order_key=endpoint.id, position=1
    )
    Replay.objects.update(due_at=Now())
    replays.continue_replay()
    assert Due.objects.count() == 20, "in whichever lane they wait"
    answer_all()
    Replay.objects.update(due_at=Now())
    replays.continue_replay()
    assert Due.objects.count() == 10


def test_what_was_not_looked_after_in_time_is_made_up_for(make_endpoint: MakeEndpoint) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    past_events(endpoint.account, 100)
    replay = start(endpoint, rate=10)
    started = time.monotonic()
    Replay.objects.update(due_at=Now() - timedelta(seconds=2.5))

    while replays.continue_replay():
        answer_all()
    took = time.monotonic() - started

    replay.refresh_from_db()
    assert 30 <= replay.processed < 60 + 10 * took


def test_it_is_completed_once_each_has_been_tried(make_endpoint: MakeEndpoint) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    past_events(endpoint.account, 1)
    replay = start(endpoint)

    for _ in range(3):
        Replay.objects.update(due_at=Now())
        replays.continue_replay()
    replay.refresh_from_db()
    assert (replay.processed, replay.status) == (1, "running")

    Due.objects.update(lane=Lane.RETRY, ready=False)
    Replay.objects.update(due_at=Now())
    replays.continue_replay()
    replay.refresh_from_db()
    assert replay.status == "completed"
    assert replay.ended_at is not None


def test_pausing_and_resuming(make_endpoint: MakeEndpoint) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    past_events(endpoint.account, 50)
    replay = start(endpoint, rate=20)
    replays.continue_replay()
    which = {"account_id": endpoint.account_id, "endpoint_id": endpoint.id, "replay_id": replay.id}

    paused = replays.pause_replay(**which)
    assert paused.status == "paused"
    assert replays.pause_replay(**which).version == paused.version
    run_out()
    assert Replay.objects.get().processed == 20

    assert replays.resume_replay(**which).status == "running"
    assert finished(replay).status == "completed"
    assert replay.processed == 50
    for change in (replays.pause_replay, replays.resume_replay, replays.cancel_replay):
        with pytest.raises(ReplayEnded):
            change(**which)


def test_canceling_takes_back_what_was_not_tried(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    receiver.answer("/", Answer(204), Answer(500), Answer(204))
    endpoint = make_endpoint(receiver.url())
    delivered, failed = publish_event(endpoint.account), None
    send()
    failed = publish_event(endpoint.account)
    send()
    Due.objects.all().delete()
    Delivery.objects.filter(event_id=failed).update(status="failed", reason="exhausted")
    past_events(endpoint.account, 1)
    replay = start(endpoint)
    replays.continue_replay()
    assert Due.objects.count() == 3

    canceled = replays.cancel_replay(
        account_id=endpoint.account_id, endpoint_id=endpoint.id, replay_id=replay.id
    )
    send()

    assert canceled.status == "canceled"
    assert canceled.ended_at is not None
    assert not Due.objects.exists()
    assert len(receiver.requests) == 2
    states = {one.event_id: (one.status, one.reason) for one in Delivery.objects.all()}
    assert states.pop(delivered) == ("delivered", "")
    assert states.pop(failed) == ("failed", "exhausted")
    assert list(states.values()) == [("canceled", "replay_canceled")]


def test_one_runs_at_a_time(make_endpoint: MakeEndpoint) -> None:
    endpoint, other = make_endpoint("http://127.0.0.1:1/"), make_endpoint("http://127.0.0.1:1/")

    def attempt(_: int) -> UUID | None:
        try:
            return start(endpoint).id
        except ReplayInProgress:
            return None

    (winner,) = (one for one in concurrently(8, attempt) if one is not None)

    start(other)
    which = {"account_id": endpoint.account_id, "endpoint_id": endpoint.id, "replay_id": winner}
    replays.pause_replay(**which)
    assert attempt(0) is None
    replays.cancel_replay(**which)
    assert attempt(0) is not None


def test_while_the_endpoint_is_disabled_it_waits(make_endpoint: MakeEndpoint) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    past_events(endpoint.account, 5)
    replay = start(endpoint)
    Endpoint.objects.update(status="disabled", disabled_reason="gone")

    for _ in range(3):
        Replay.objects.update(due_at=Now())
        replays.continue_replay()
    replay.refresh_from_db()
    assert (replay.status, replay.processed) == ("running", 0)

    Endpoint.objects.update(status="failing", disabled_reason="")
    assert finished(replay).processed == 5


def test_with_the_endpoint_its_replay_ends(make_endpoint: MakeEndpoint, api: MakeClient) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    client = api(account=endpoint.account)
    past_events(endpoint.account, 5)
    replay = start(endpoint)

    assert client.delete(f"/api/v1/webhook-endpoints/{endpoint.id}").status_code == 204

    assert finished(replay).status == "canceled"
    assert not Delivery.objects.exists()
    shown = client.get(f"/api/v1/webhook-endpoints/{endpoint.id}/replays/{replay.id}")
    assert shown.status_code == 404


def test_ended_ones_are_forgotten_after_a_month(make_endpoint: MakeEndpoint) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    old, running = finished(start(endpoint)), start(endpoint)
    assert replays.trim_replays() is False
    assert Replay.objects.count() == 2

    Replay.objects.filter(pk=old.pk).update(ended_at=Now() - timedelta(days=31))
    replays.trim_replays()

    assert Replay.objects.get() == running


def test_a_replay_of_an_event_with_a_long_audience_waits_for_its_fan_out(
    make_endpoint: MakeEndpoint,
) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    past_events(endpoint.account, 1)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO webhooks_fanout (event_id, after) VALUES (%s, %s)",
            [Event.objects.get().id, UUID(int=0)],
        )

    assert start(endpoint).total == 0
