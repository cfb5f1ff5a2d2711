"""One budget for all workers, and HubSpot left alone while it does not answer."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.common import clock
from apps.crm.models import Portal
from apps.crm.services import budget
from apps.crm.services.syncing import sync_some
from sandbox.hubspot.server import Simulator
from tests.crm.support import Shop, key, pass_time, portal, states, step, sync
from tests.support import concurrently

pytestmark = pytest.mark.django_db


def test_the_budget_is_what_hubspot_says_within_its_rolling_window(shop: Shop) -> None:
    taken = [budget.take(key()) for _ in range(150)]

    assert sum(permit is not None for permit in taken) == 100
    Portal.objects.update(rate_limit=120)
    assert sum(budget.take(key()) is not None for _ in range(50)) == 20


@pytest.mark.django_db(transaction=True)
def test_calls_counted_earlier_leave_the_window(shop: Shop) -> None:
    Portal.objects.create(key=key(), rate_limit=2)
    assert [budget.take(key()) is not None for _ in range(3)] == [True, True, False]

    Portal.objects.update(recent=[clock.now() - timedelta(seconds=ago) for ago in (12, 1)])

    assert [budget.take(key()) is not None for _ in range(2)] == [True, False]


@pytest.mark.django_db(transaction=True)
def test_many_workers_never_take_more_than_there_is(shop: Shop) -> None:
    Portal.objects.create(key=key(), rate_limit=30)

    def take_some(_: int) -> int:
        return sum(budget.take(key()) is not None for _ in range(20))

    assert sum(concurrently(8, take_some)) == 30


@pytest.mark.django_db(transaction=True)
def test_two_workers_share_one_budget_and_send_everything_once(
    shop: Shop, hubspot: Simulator
) -> None:
    """HubSpot itself refuses the one call too many: none is."""
    hubspot.settings.change(rate_limit=8, interval_seconds=3600)  # it does not pass while we look
    Portal.objects.create(key=key(), rate_limit=8, interval_seconds=3600)
    shop.add_many(1_000)

    def work(_: int) -> None:
        while sync_some():
            pass

    concurrently(2, work)

    assert [call.status for call in hubspot.calls] == [200] * 8
    assert states() == {"pending": 200, "synced": 800}
    Portal.objects.update(recent=[])
    hubspot.forget_calls()
    concurrently(2, work)
    assert states() == {"synced": 1_000}
    assert [call.size for call in hubspot.calls] == [100] * 2
    assert len(hubspot.records.contacts) == 1_000


def test_accounts_of_one_token_share_its_budget(
    shop: Shop, hubspot: Simulator, api: object
) -> None:
    other = Shop(api(), hubspot)  # type: ignore[operator]  # a factory
    shop.add("ada@example.com")
    other.add("bob@example.com")

    sync()

    assert (portal().calls, Portal.objects.count()) == (2, 1)
    assert len(portal().recent) == 2


def test_while_hubspot_cannot_be_reached_one_customer_probes_at_most_every_15_s(
    shop: Shop, hubspot: Simulator
) -> None:
    hubspot.settings.always = 503
    shop.add_many(250)
    waits = []

    for _ in range(8):
        assert step()
        assert not sync_some()  # others wait with it
        resume_at = portal().resume_at
        assert resume_at is not None
        waits.append((resume_at - clock.now()).total_seconds())

    assert [call.size for call in hubspot.calls] == [100] + [1] * 7
    assert waits[0] < 2
    assert all(wait <= 15 for wait in waits)
    assert all(wait > 10 for wait in waits[5:])
    assert shop.client.get("/api/v1/crm/connection").json()["hubspot"]["status"] == "unavailable"


def test_the_first_success_clears_the_backoff_for_all(shop: Shop, hubspot: Simulator) -> None:
    hubspot.settings.always = 503
    shop.add_many(250)
    for _ in range(4):
        step()
    hubspot.forget_calls()

    hubspot.settings.always = 0
    sync()

    assert [call.size for call in hubspot.calls] == [1, 100, 100, 49]
    assert states() == {"synced": 250}
    assert (portal().status, portal().failures, portal().resume_at) == ("ok", 0, None)


@pytest.mark.django_db(transaction=True)
def test_one_worker_probes_at_a_time(shop: Shop, hubspot: Simulator) -> None:
    hubspot.settings.always = 503
    shop.add_many(3)
    step()
    pass_time(120)
    hubspot.forget_calls()

    concurrently(4, lambda _: sync_some())

    assert len(hubspot.calls) == 1


def test_one_customer_that_breaks_hubspot_does_not_stop_the_others(
    shop: Shop, hubspot: Simulator
) -> None:
    """Its batches fail as a whole; it waits longer each time, and the others go without it."""
    (poison, *_) = shop.add_many(50)
    hubspot.settings.breaks_on = str(poison)

    for _ in range(40):
        step()

    assert states() == {"pending": 1, "synced": 49}


@given(failures=st.integers(0, 10_000), longest=st.sampled_from([15.0, 60.0, 600.0]))
def test_waits_grow_and_stay_within_their_bound(failures: int, longest: float) -> None:
    wait = budget.backoff(failures, longest)

    assert min(longest, 2.0 ** min(failures, 20)) / 2 <= wait <= longest
