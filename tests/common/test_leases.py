"""The reconciler loop: what is owed is done once, whoever does it and whoever dies over it."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.db import models
from django.db.models.functions import Now

from apps.common.ids import uuid7
from apps.common.leases import Leased, claim, reconcile, settle
from tests.support import concurrently, holding, table_of, wait_until


class Chore(Leased):
    """Something to be done."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    lane = models.CharField(max_length=10, default="a")
    outcome = models.CharField(max_length=10, default="")

    objects: ClassVar[models.Manager["Chore"]] = models.Manager()

    class Meta:
        app_label = "tests"

    def __str__(self) -> str:
        return self.lane


@pytest.fixture
def chores(transactional_db: None) -> Iterator[None]:
    with table_of(Chore):
        yield


pytestmark = pytest.mark.usefixtures("chores")


def make(count: int = 1, *, ago: int = 0, lane: str = "a") -> list[Chore]:
    """Chores due since `ago` seconds."""
    due = Now() - timedelta(seconds=ago)
    return [Chore.objects.create(due_at=due, lane=lane) for _ in range(count)]


def claim_some(limit: int = 10, *, lease_seconds: float = 60, lane: str = "") -> list[Chore]:
    chores = Chore.objects.filter(lane=lane) if lane else Chore.objects.all()
    return claim(chores, limit=limit, lease_seconds=lease_seconds)


def finish(chore: Chore, **outcome: Any) -> bool:
    """Settle it with the lease under which it was claimed."""
    assert chore.lease_id is not None
    return settle(Chore, chore.pk, chore.lease_id, **outcome)


def test_what_is_due_is_claimed_longest_waiting_first() -> None:
    (late,), (later,), (latest,) = make(ago=10), make(ago=30), make(ago=20)
    Chore.objects.create(due_at=Now() + timedelta(seconds=60))
    Chore.objects.create(due_at=None)

    first = claim_some(2)
    rest = claim_some(2)

    assert {chore.pk for chore in first} == {later.pk, latest.pk}
    assert [chore.pk for chore in rest] == [late.pk]


def test_a_claim_gives_the_row_a_lease() -> None:
    make()

    (claimed,) = claim_some(lease_seconds=60)

    claimed.refresh_from_db()
    assert claimed.lease_id is not None
    assert claimed.claims == 1
    left = Chore.objects.values_list(models.F("lease_until") - Now(), flat=True).get()
    assert timedelta(seconds=55) < left <= timedelta(seconds=60)


def test_what_is_leased_is_not_claimed_again() -> None:
    make()
    claim_some()

    assert claim_some() == []


def test_a_claim_may_be_narrowed() -> None:
    make(2, lane="a")
    make(1, lane="b")

    assert [chore.lane for chore in claim_some(lane="b")] == ["b"]


def test_a_lease_that_has_run_out_is_claimed_anew() -> None:
    (chore,) = make()
    (lost,) = claim_some(lease_seconds=0.01)

    (taken,) = wait_until(claim_some)

    assert taken.pk == chore.pk
    assert taken.lease_id != lost.lease_id
    assert taken.claims == 2


def test_whoever_lost_the_lease_changes_nothing() -> None:
    make()
    (lost,) = claim_some(lease_seconds=0.01)
    (taken,) = wait_until(claim_some)

    assert not finish(lost, due_at=None, outcome="late")
    assert finish(taken, due_at=None, outcome="good")

    taken.refresh_from_db()
    assert taken.outcome == "good"


def test_settling_ends_the_lease_and_says_when_the_next_try_is_due() -> None:
    make()
    (claimed,) = claim_some()

    assert finish(claimed, due_at=Now() + timedelta(hours=1))

    settled = Chore.objects.get()
    assert (settled.lease_id, settled.lease_until, settled.claims) == (None, None, 0)
    assert claim_some() == []
    assert not finish(claimed, outcome="twice")


def test_rows_that_others_have_locked_are_left_out() -> None:
    locked, free = make(2)

    with holding("SELECT FROM tests_chore WHERE id = %s FOR UPDATE", locked.pk):
        claimed = claim_some()

    assert [chore.pk for chore in claimed] == [free.pk]


def test_no_row_is_claimed_twice_however_many_claim_at_once() -> None:
    made = {chore.pk for chore in make(150)}

    def work(_: int) -> list[Chore]:
        mine: list[Chore] = []
        while some := claim_some(7):
            mine += some
        return mine

    claimed = [chore.pk for mine in concurrently(10, work) for chore in mine]

    assert len(claimed) == 150
    assert set(claimed) == made


def test_of_many_who_settle_with_one_lease_one_does() -> None:
    make()
    (claimed,) = claim_some()

    settled = concurrently(8, lambda n: finish(claimed, outcome=str(n)))

    assert sum(settled) == 1


def test_reconciling_works_until_nothing_is_due() -> None:
    make(7)

    more = reconcile(lambda: _finish(claim_some(3)))

    assert more is False
    assert Chore.objects.filter(outcome="done").count() == 7


def test_reconciling_stops_after_its_slice_and_says_that_there_is_more() -> None:
    make(7)

    more = reconcile(lambda: _finish(claim_some(3)), slice_seconds=0)

    assert more is True
    assert Chore.objects.filter(outcome="done").count() == 3


def test_a_worker_that_dies_leaves_its_row_to_the_next() -> None:
    make(1)

    def die() -> bool:
        claim_some(lease_seconds=0.01)
        raise SystemExit

    with pytest.raises(SystemExit):
        reconcile(die)
    wait_until(lambda: not reconcile(lambda: _finish(claim_some())) and Chore.objects.get().outcome)

    assert Chore.objects.get().outcome == "done"


def _finish(chores: Sequence[Chore]) -> bool:
    for chore in chores:
        finish(chore, due_at=None, outcome="done")
    return bool(chores)
