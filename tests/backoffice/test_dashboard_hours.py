"""What the dashboard counts by the hour: right whatever was lost, killed, late or done twice."""

from datetime import datetime, timedelta

import pytest
from django.db import DatabaseError, connection

from apps.backoffice.dashboard import hours
from apps.backoffice.dashboard.folds import FOLDS, added, fold
from apps.backoffice.dashboard.hours import HOUR, count_hours, last_hours
from apps.backoffice.dashboard.latency import quantile
from apps.backoffice.models import Hour
from apps.common import clock
from apps.common.ids import uuid7_at
from apps.orders.models import Order, Storefront
from apps.webhooks.models import Attempt
from tests.conftest import MakeAccount

pytestmark = pytest.mark.django_db


@pytest.fixture
def storefront(make_account: MakeAccount) -> Storefront:
    return Storefront.objects.create(account=make_account(), code="web", name="Web", currency="EUR")


_numbers = iter(range(1, 1_000_000))


def place(storefront: Storefront, at: datetime, **columns: object) -> Order:
    return Order.objects.create(
        **{
            "id": uuid7_at(at),
            "account_id": storefront.account_id,
            "storefront": storefront,
            "number": next(_numbers),
            "customer_id": "c",
            "status": "pending",
            "currency": storefront.currency,
            "total": 1000,
            "created_at": at,
            "updated_at": at,
            **columns,
        }
    )


def attempt(at: datetime, *, took: int, status: int | None = 200, number: int = 1) -> None:
    Attempt.objects.create(
        id=uuid7_at(at),
        delivery_id=uuid7_at(at),
        number=number,
        url="https://example.com",
        started_at=at,
        duration_ms=took,
        status_code=status,
        request_headers={},
        response_body=b"",
    )


def count_all() -> None:
    while count_hours():
        pass


def placed(now: datetime) -> list[int]:
    return [figures.get("orders", {}).get("placed", 0) for figures in last_hours("orders", now)]


def test_an_hour_is_counted_by_storefront_and_currency(storefront: Storefront) -> None:
    now = clock.now()
    place(storefront, now - 5 * HOUR)
    place(storefront, now - 5 * HOUR, total=500)
    place(storefront, now - 5 * HOUR, status="canceled")
    place(storefront, now - 5 * HOUR, deleted_at=now)
    count_all()

    figures = last_hours("orders", now)[-6]

    assert figures["orders"] == {"placed": 3, "lost": 1}
    assert figures["revenue"] == {"EUR": 1500}
    assert figures["orders_of"] == {str(storefront.pk): 3}
    assert figures["revenue_of"] == {str(storefront.pk): 1500}


def test_what_came_since_the_count_is_added_and_nothing_twice(storefront: Storefront) -> None:
    place(storefront, clock.now())
    count_all()
    place(storefront, clock.now())
    now = clock.now()

    assert sum(placed(now)) == 2

    count_all()
    assert sum(placed(clock.now())) == 2


def test_an_hour_that_has_just_ended_is_shown_to_its_end(storefront: Storefront) -> None:
    now = clock.now()
    start = now.replace(minute=0, second=0, microsecond=0) - HOUR
    Hour.objects.create(
        kind="orders",
        starts_at=start,
        until=start + 0.9 * HOUR,
        counted_at=now - HOUR,
        figures={"orders": {"placed": 7}},
    )
    place(storefront, start + 0.95 * HOUR)

    assert placed(now)[-2] == 8


def test_it_is_right_again_after_anything(storefront: Storefront) -> None:
    """Rows lost, wrong and half counted: the next looks put them right, by counting."""
    now = clock.now()
    for back in range(30):
        place(storefront, now - back * HOUR)
    count_all()
    right = placed(now)
    Hour.objects.filter(starts_at__lt=now - 20 * HOUR).delete()
    wrong = {"orders": {"placed": 99}}
    Hour.objects.filter(starts_at__gte=now - 2 * HOUR).update(figures=wrong, counted_at=now - HOUR)

    count_all()

    assert placed(now) == right
    assert sum(right) == 30


def test_what_changes_later_is_counted_again(storefront: Storefront) -> None:
    now = clock.now()
    order = place(storefront, now - 9 * HOUR)
    count_all()
    Order.objects.filter(pk=order.pk).update(status="canceled")
    Hour.objects.filter(starts_at__gt=now - 10 * HOUR, starts_at__lt=now - 9 * HOUR).update(
        counted_at=now - HOUR
    )

    count_all()

    assert last_hours("orders", now)[-10]["revenue"] == {"EUR": 0}


def test_a_count_that_comes_late_does_not_overwrite_a_newer_one() -> None:
    now = clock.now()
    count_all()
    newest = Hour.objects.filter(kind="events").order_by("-starts_at")[0]
    figures = {"events": {"published": 5}}
    Hour.objects.filter(pk=newest.pk).update(counted_at=now + HOUR, figures=figures)

    count_hours()

    assert Hour.objects.get(pk=newest.pk).figures == figures


@pytest.mark.django_db(transaction=True)
def test_a_kind_that_cannot_be_counted_stops_no_other() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE orders_order RENAME COLUMN total TO hidden")
        try:
            with pytest.raises(DatabaseError):
                count_hours()
        finally:
            cursor.execute("ALTER TABLE orders_order RENAME COLUMN hidden TO total")

    assert set(Hour.objects.values_list("kind", flat=True)) == FOLDS.keys() - {"orders"}


def test_old_hours_go() -> None:
    now = clock.now()
    Hour.objects.create(
        kind="orders", starts_at=now - 100 * HOUR, until=now, counted_at=now, figures={}
    )

    count_hours()

    assert not Hour.objects.filter(starts_at__lt=now - hours.KEPT).exists()


def test_deliveries_tell_how_long_their_first_tries_took() -> None:
    at = clock.now() - timedelta(minutes=1)
    for took in range(10, 1010, 10):
        attempt(at, took=took)
    attempt(at, took=9000, number=2)
    attempt(at, took=9000, status=500)
    attempt(at, took=9000, status=None)

    figures = fold("deliveries", at - HOUR, at + HOUR)

    assert figures["tries"] == {"ok": 101, "failed": 2}
    assert sum(figures["took"].values()) == 100
    assert quantile(figures["took"], 0.5) == pytest.approx(500, rel=0.07)
    assert quantile(figures["took"], 0.95) == pytest.approx(950, rel=0.07)


def test_quantiles_of_nothing_and_of_everything() -> None:
    assert quantile({}, 0.5) is None
    assert quantile({"0": 10}, 1.0) == pytest.approx(1.122, rel=0.01)
    assert quantile({"20": 1, "40": 1}, 0.5) == pytest.approx(11.22, rel=0.01)


def test_hours_are_added_member_by_member() -> None:
    assert added([{"a": {"x": 1}}, {}, {"a": {"x": 2, "y": 3}, "b": {"z": 4}}]) == {
        "a": {"x": 3, "y": 3},
        "b": {"z": 4},
    }


@pytest.mark.parametrize("kind", FOLDS)
def test_each_kind_of_an_empty_installation_is_zero(kind: str) -> None:
    now = clock.now()

    figures = fold(kind, now - HOUR, now)

    assert sum(sum(members.values()) for members in figures.values()) == 0
