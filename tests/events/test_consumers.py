"""Handlers: each is told of each event exactly once, in order, and only ever stops itself."""

import contextlib
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common import clock
from apps.common.ids import uuid7
from apps.events import dispatch as dispatcher
from apps.events.dispatch import HANDLE_BATCH, STAMP_BATCH, advance, dispatch, skip, stamp
from apps.events.models import Consumer, Event
from apps.events.publishing import publish_all
from apps.events.subscriptions import _subscriptions, subscribe, subscriptions
from tests.events.conftest import Subscribe, collecting, drafted, happen
from tests.support import background, concurrently, holding, stopped_while_reading, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def consumer(name: str = "tests.one") -> Consumer:
    return Consumer.objects.get(pk=name)


def test_a_handler_gets_each_event_once_and_in_order(subscribed: Subscribe) -> None:
    got: list[UUID] = []
    subscribed(collecting(got))
    made = [happen() for _ in range(HANDLE_BATCH * 2 + 5)]

    assert dispatch() is False
    assert dispatch() is False

    assert got == made
    assert consumer().position == len(made)


def test_a_handler_gets_only_what_it_wants_and_its_cursor_passes_the_rest(
    subscribed: Subscribe,
) -> None:
    got: list[UUID] = []
    subscribed(collecting(got), types=["test.wanted"])

    happen(type="test.other")
    wanted = happen(type="test.wanted")
    happen(type="test.other")
    dispatch()

    assert got == [wanted]
    assert consumer().position == 3


def test_who_wants_nothing_of_much_is_moved_without_being_asked(subscribed: Subscribe) -> None:
    asked: list[Sequence[Event]] = []
    subscribed(asked.append, types=["test.wanted"])
    subscribed(collecting([]), name="tests.busy")
    dispatch()
    count = HANDLE_BATCH * 2 + 5
    made = [happen() for _ in range(count)]

    dispatch()

    assert asked == []
    assert (consumer().position, consumer("tests.busy").position) == (len(made), len(made))


def test_who_is_far_behind_keeps_nobody_from_what_is_new(subscribed: Subscribe) -> None:
    got: list[UUID] = []
    subscribed(collecting(got), types=["test.wanted"])
    dispatch()
    for _ in range(HANDLE_BATCH + 5):
        happen()
    dispatch()
    subscribed(collecting([]), name="tests.slow")
    dispatch()
    Consumer.objects.filter(pk="tests.slow").update(position=0)
    wanted = happen(type="test.wanted")

    with holding("SELECT FROM events_consumer WHERE name = 'tests.slow' FOR UPDATE"):
        dispatch()

    assert got == [wanted]
    assert consumer("tests.slow").position == 0


def test_a_cursor_that_somebody_moves_is_left_alone(subscribed: Subscribe) -> None:
    subscribed(collecting([]), types=["test.wanted"])
    dispatch()
    happen()

    with holding("SELECT FROM events_consumer FOR UPDATE"):
        dispatch()
        assert consumer().position == 0
    dispatch()

    assert consumer().position == 1


def test_who_is_waited_for_comes_first(subscribed: Subscribe) -> None:
    came: list[str] = []
    subscribed(lambda _: came.append("usual"))
    subscribe("tests.first", types=["test.*"], is_first=True)(lambda _: came.append("first"))
    happen()

    dispatch()
    del _subscriptions["tests.first"]

    assert came == ["first", "usual"]


def test_a_cursor_never_passes_what_is_stamped_while_events_are_taken() -> None:
    """The more there is to take the longer it takes, and the more is stamped meanwhile."""
    Consumer.objects.create(pk="tests.one")
    account_id = uuid7()
    with transaction.atomic():
        publish_all([drafted(account_id) for _ in range(STAMP_BATCH * 8)])
    while stamp():
        pass
    taken: list[list[int]] = []

    def take() -> None:
        for _ in range(10):
            Consumer.objects.update(position=0)
            given = Event.objects.raw("SELECT * FROM events_take('tests.one', 1000000)")
            taken.append([event.position or 0 for event in given] + [consumer().position])

    with background(take) as taking:
        while not taking.done():
            happen(account_id)
            stamp()

    assert len({len(each) for each in taken}) > 1, "nothing was stamped meanwhile"
    for *given, position in taken:
        assert given == list(range(1, position + 1))


@pytest.mark.parametrize("cursor", ["new", "failing until then"])
def test_nobody_is_moved_past_what_was_not_looked_at_for_him(cursor: str) -> None:
    """He was not among those whose next events were read, but is when it is judged who wants none."""
    Consumer.objects.create(pk="tests.others")
    if cursor != "new":
        Consumer.objects.create(pk="tests.one", failures=1)
    happen(type="test.wanted")
    stamp()
    Consumer.objects.filter(pk="tests.others").update(position=1)
    for _ in range(2):
        happen(type="test.other")
    stamp()

    with stopped_while_reading(
        "events_event",
        "position > 1",
        "SELECT events_round(500, 100, '{tests.one,tests.others}', '{test.wanted,test.wanted}')",
    ):
        Consumer.objects.update_or_create(pk="tests.one", defaults={"failures": 0})

    assert (consumer().position, consumer("tests.others").position) == (0, 3)


def test_a_new_handler_starts_at_the_beginning(subscribed: Subscribe) -> None:
    made = [happen() for _ in range(3)]
    dispatch()

    got: list[UUID] = []
    subscribed(collecting(got))
    dispatch()

    assert got == made


def test_what_a_handler_wrote_before_it_failed_is_undone(subscribed: Subscribe) -> None:
    failing = True

    def note(events: Sequence[Event]) -> None:
        for event in events:
            Account.objects.create(slug=str(event.id), name="noted")
        if failing:
            raise RuntimeError("after writing")

    subscribed(note)
    made = happen()
    dispatch()
    assert not Account.objects.exists()

    failing = False
    retry_now()
    dispatch()
    assert [account.slug for account in Account.objects.all()] == [str(made)]


def test_a_failing_handler_stops_at_that_event_and_stops_only_itself(
    subscribed: Subscribe,
) -> None:
    good: list[UUID] = []
    bad: list[UUID] = []
    made = [happen() for _ in range(10)]

    def fail_on_the_fourth(events: Sequence[Event]) -> None:
        if made[3] in [event.id for event in events]:
            raise RuntimeError("the fourth")
        bad.extend(event.id for event in events)

    subscribed(fail_on_the_fourth, name="tests.bad")
    subscribed(collecting(good), name="tests.good")
    dispatch()

    assert good == made
    assert bad == made[:3]
    assert consumer("tests.bad").position == 3
    assert consumer("tests.bad").failures == 1
    assert "the fourth" in consumer("tests.bad").error
    assert consumer("tests.good").failures == 0


def test_a_failing_handler_is_tried_again_later_and_later(subscribed: Subscribe) -> None:
    calls = []

    def fail(events: Sequence[Event]) -> None:
        calls.append(len(events))
        raise RuntimeError

    subscribed(fail)
    happen()
    for seconds in (1, 2, 4, 8):
        wait, begun = timedelta(seconds=seconds), clock.now()
        dispatch()
        retry_at = consumer().retry_at
        assert retry_at is not None
        assert begun + wait <= retry_at <= clock.now() + wait
        Consumer.objects.update(retry_at=Now() + timedelta(hours=1))
        before = len(calls)
        dispatch()  # not due yet
        assert len(calls) == before
        retry_now()

    Consumer.objects.update(failures=1000, retry_at=None)
    dispatch()
    assert consumer().retry_at < clock.now() + timedelta(seconds=301)  # type: ignore[operator]


def test_a_failure_is_not_noted_of_whom_another_has_moved_on_meanwhile(
    subscribed: Subscribe,
) -> None:
    calls: list[int] = []

    def fail_twice(events: Sequence[Event]) -> None:
        calls.append(len(events))
        if len(calls) <= 2:  # all of them, and then the first alone
            raise RuntimeError

    def let_another_go_on(execute: Any, sql: str, *rest: Any) -> Any:
        if len(calls) == 2 and '"events_consumer"' in sql:
            concurrently(1, lambda _: dispatch())
        return execute(sql, *rest)

    subscribed(fail_twice)
    Consumer.objects.create(pk="tests.one")
    for _ in range(3):
        happen()

    with connection.execute_wrapper(let_another_go_on):
        dispatch()

    assert calls == [3, 1, 3]
    assert (consumer().position, consumer().failures, consumer().error) == (3, 0, "")


def test_a_handler_that_works_again_goes_on_and_forgets_its_failures(
    subscribed: Subscribe,
) -> None:
    got: list[UUID] = []
    failing = True

    def handle(events: Sequence[Event]) -> None:
        if failing:
            raise RuntimeError
        got.extend(event.id for event in events)

    subscribed(handle)
    made = [happen() for _ in range(3)]
    dispatch()

    failing = False
    retry_now()
    dispatch()

    assert got == made
    assert (consumer().failures, consumer().error, consumer().retry_at) == (0, "", None)


def test_a_failing_handler_can_be_skipped_past_the_event(subscribed: Subscribe) -> None:
    got: list[UUID] = []
    made = [happen() for _ in range(3)]

    def fail_on_the_second(events: Sequence[Event]) -> None:
        if made[1] in [event.id for event in events]:
            raise RuntimeError
        got.extend(event.id for event in events)

    subscribed(fail_on_the_second)
    dispatch()

    assert skip("tests.one") is True
    dispatch()

    assert got == [made[0], made[2]]


def test_a_new_handler_is_skipped_past_the_first_event_that_is_kept(subscribed: Subscribe) -> None:
    """Those before it are gone: it is not one position away."""
    got: list[UUID] = []
    made = [happen() for _ in range(4)]
    stamp()
    Event.objects.filter(pk__in=made[:2]).delete()

    def fail_on_the_third(events: Sequence[Event]) -> None:
        if made[2] in [event.id for event in events]:
            raise RuntimeError
        got.extend(event.id for event in events)

    subscribed(fail_on_the_third)
    dispatch()

    assert skip("tests.one") is True
    dispatch()

    assert got == made[3:]


def test_a_handler_that_does_not_fail_cannot_be_skipped(subscribed: Subscribe) -> None:
    subscribed(collecting([]))
    happen()
    dispatch()

    assert skip("tests.one") is False
    assert consumer().position == 1


def test_many_dispatchers_at_once_double_nothing(subscribed: Subscribe) -> None:
    got: list[UUID] = []

    def slowly(events: Sequence[Event]) -> None:
        time.sleep(0.01)
        got.extend(event.id for event in events)

    subscribed(slowly)
    made = [happen() for _ in range(250)]

    concurrently(6, lambda _: dispatch())

    assert got == made


def test_dispatchers_and_writers_together_lose_and_double_nothing(subscribed: Subscribe) -> None:
    got: list[UUID] = []
    subscribed(collecting(got))
    finished = threading.Event()

    def keep_dispatching() -> None:
        while not finished.is_set():
            dispatch()

    with background(keep_dispatching), background(keep_dispatching):
        written = concurrently(6, lambda _: [happen() for _ in range(15)])
        finished.set()
    dispatch()

    assert sorted(got) == sorted(one for each in written for one in each)
    assert got == list(Event.objects.order_by("position").values_list("id", flat=True))


def test_what_is_stamped_while_another_holds_the_cursor_is_handled_by_it(
    subscribed: Subscribe,
) -> None:
    got: list[UUID] = []
    inside, go_on = threading.Event(), threading.Event()

    def wait_inside(events: Sequence[Event]) -> None:
        got.extend(event.id for event in events)
        inside.set()
        assert go_on.wait(10)

    subscribed(wait_inside)
    (subscription,) = [each for each in subscriptions() if each.name == "tests.one"]
    first = happen()
    dispatched = False

    with contextlib.ExitStack() as stack:
        stack.callback(go_on.set)
        holder = stack.enter_context(background(dispatch))
        wait_until(inside.is_set)
        second = happen()
        assert stamp() == 1
        dispatched = advance(subscription)  # leaves it to the holder
        assert not holder.done()
        go_on.set()

    assert dispatched is False
    assert got == [first, second]
    assert consumer().position == 2


def test_who_goes_round_gets_on_until_it_has_ended_or_is_stuck(
    subscribed: Subscribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def look(_: object) -> None:
        monkeypatch.setattr(dispatcher, "STUCK_SECONDS", 3600.0)
        seen.append(dispatcher.gets_on())
        monkeypatch.setattr(dispatcher, "STUCK_SECONDS", 0.0)
        seen.append(dispatcher.gets_on())
        monkeypatch.setattr(dispatcher, "STUCK_SECONDS", 3600.0)

    subscribed(look)
    happen()
    assert not dispatcher.gets_on()

    dispatcher.dispatch()

    assert seen == [True, False]
    assert not dispatcher.gets_on()


def test_a_name_is_subscribed_once(subscribed: Subscribe) -> None:
    subscribed(collecting([]))

    with pytest.raises(ValueError, match="twice"):
        subscribed(collecting([]))


def retry_now() -> None:
    Consumer.objects.filter(retry_at__isnull=False).update(retry_at=Now())
