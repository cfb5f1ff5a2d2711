"""What is on its way while its customer is erased is erased as well; what comes later is not."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from apps.common.idempotency import erase_answers
from apps.common.models import IdempotencyKey
from apps.orders.models import Erasure, Order
from apps.orders.services import bulk, erasing, orders
from tests.orders.conftest import BASE, Shop
from tests.orders.test_changes import OPERATOR
from tests.orders.test_erasure import erase_customer, is_owed
from tests.orders.test_together import Together, wrapped
from tests.support import background, everything_stored, run_jobs, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

TRACE = "hush-hush"
ADDRESS = {"name": f"Ada {TRACE}", "city": f"{TRACE}-on-sea", "email": f"{TRACE}@example.com"}
PERSONAL: dict[str, Any] = {"shipping_address": ADDRESS, "metadata": {"note": TRACE}}

Ask = Callable[[Shop], Any]

_KEY = 20_114
# Held by the test while they stop there, and by them while they do. No lock that they would wait for:
# the statements of orders give up soon.
_STOP = f"""
CREATE FUNCTION stop_here() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.metadata->>'note' = '{TRACE}' THEN
    PERFORM pg_advisory_xact_lock_shared({_KEY}, 2);
    WHILE NOT pg_try_advisory_xact_lock_shared({_KEY}, 1) LOOP
      PERFORM pg_sleep(0.005);
    END LOOP;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER stop_here BEFORE INSERT ON orders_order FOR EACH ROW EXECUTE FUNCTION stop_here()
"""


@contextmanager
def stopped_while_placing(work: Callable[[], Any]) -> Iterator[None]:
    """`work` goes on to its end after the block, which begins when it has stopped at a personal order."""
    with connection.cursor() as cursor:
        cursor.execute(_STOP)
        cursor.execute("SELECT pg_advisory_lock(%s, 1)", [_KEY])
        try:
            with background(work):
                try:
                    wait_until(_has_stopped)
                    yield
                finally:
                    cursor.execute("SELECT pg_advisory_unlock(%s, 1)", [_KEY])
        finally:
            cursor.execute("DROP TRIGGER stop_here ON orders_order; DROP FUNCTION stop_here")


def _has_stopped() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND classid = %s AND objid = 2 AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database()))",
            [_KEY],
        )
        return bool(cursor.fetchone()[0])


def erase_by_now(shop: Shop) -> None:
    """Erase the customer, with all that can be done about it at this moment."""
    erase_customer(shop, "customer-1")
    run_jobs()


def erase_the_rest() -> None:
    """What waited for those who were at work."""
    Erasure.objects.filter(due_at__isnull=False).update(due_at=Now())
    run_jobs()
    assert not is_owed()


def post_together(shop: Shop) -> Any:
    shop.order(("MUG", 1))
    asks = [lambda: shop.try_order(("MUG", 1), key="k", **PERSONAL)] * 2
    asks[1] = lambda: shop.try_order(("MUG", 1), **PERSONAL)
    return Together(shop)(*asks)


def post_bulk(shop: Shop, **options: Any) -> Any:
    body = {"orders": [shop.body(("MUG", 1), **PERSONAL)] * 3}
    return shop.api.post(f"{BASE}/orders/bulk", body, **options)


DOORS: dict[str, Ask] = {
    "one": lambda shop: shop.order(("MUG", 1), **PERSONAL),
    "one with a key": lambda shop: shop.order(("MUG", 1), key="k", **PERSONAL),
    "together": post_together,
    "bulk": post_bulk,
    "bulk with a key": lambda shop: post_bulk(shop, idempotency_key="k"),
}


@pytest.mark.parametrize("door", DOORS)
def test_an_order_on_its_way_is_erased(shop: Shop, door: str) -> None:
    shop.product("MUG", stock=10)

    with stopped_while_placing(lambda: DOORS[door](shop)):
        erase_by_now(shop)
        assert is_owed()
    assert TRACE in everything_stored()
    erase_the_rest()

    assert TRACE not in everything_stored()
    assert Order.objects.count() > 0


def test_what_is_there_goes_at_once_whoever_is_at_work(shop: Shop) -> None:
    shop.product("MUG", stock=10)
    there = shop.order(("MUG", 1), shipping_address=ADDRESS)

    with stopped_while_placing(lambda: shop.order(("MUG", 1), **PERSONAL)):
        erase_by_now(shop)
        assert shop.read(there)["shipping_address"] is None
        later = shop.order(("MUG", 1), shipping_address=ADDRESS)
    erase_the_rest()

    assert shop.read(later) == later


def test_a_change_on_its_way_is_erased(shop: Shop) -> None:
    """Asked for in the back office, whose transactions begin before they lock the order."""
    shop.product("MUG", stock=10)
    order = Order.objects.get(pk=shop.order(("MUG", 1))["id"])
    has_begun, may_go_on = threading.Event(), threading.Event()

    @transaction.atomic
    def change() -> None:
        Order.objects.get(pk=order.pk)
        has_begun.set()
        assert may_go_on.wait(30)
        changes = {"status": "confirmed", "tracking_number": TRACE, "shipping_address": ADDRESS}
        orders.change_order(
            account_id=order.account_id, order_id=order.pk, changes=changes, actor=OPERATOR
        )

    with background(change):
        assert has_begun.wait(30)
        erase_by_now(shop)
        may_go_on.set()
    erase_the_rest()

    order.refresh_from_db()
    assert (order.shipping_address, order.tracking_number) == (None, None)
    kept = [row["changes"] for row in shop.history({"id": order.pk})]
    assert TRACE not in str(kept)


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("key", [None, "k"])
def test_an_erasure_between_two_transactions_of_a_bulk_request(
    shop: Shop, key: str | None, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its second and third order, each a chunk of its own."""
    monkeypatch.setattr(bulk, "CHUNK_ORDERS", 1)
    shop.product("MUG", stock=10)
    readings: list[str] = []

    def overtake(send: Callable[[], Any], sql: str) -> Any:
        # A transaction of PostgreSQL begins with its first statement: with a key it looks for that first.
        is_first = "common_idempotencykey" in sql if key else "orders_read_for_bulk" in sql
        if is_first and sql.startswith("SELECT"):
            readings.append(sql)
            if len(readings) == nth + 1 + bool(key):
                with background(lambda: erase_by_now(shop)):
                    pass
        return send()

    with wrapped(overtake):
        answer = post_bulk(shop, idempotency_key=key)
    erase_the_rest()

    assert answer.json()["placed"] == 3
    assert len(readings) > nth
    assert TRACE not in everything_stored()


def test_an_erasure_before_the_whole_answer_is_remembered(shop: Shop) -> None:
    shop.product("MUG", stock=10)
    written: list[str] = []

    def overtake(send: Callable[[], Any], sql: str) -> Any:
        if sql.startswith('INSERT INTO "common_idempotencykey"'):
            written.append(sql)
            if len(written) == 2:
                with background(lambda: erase_by_now(shop)):
                    pass
        return send()

    with wrapped(overtake):
        post_bulk(shop, idempotency_key="k")
    erase_the_rest()

    again = post_bulk(shop, idempotency_key="k").json()
    assert [one["order"]["shipping_address"] for one in again["results"]] == [None] * 3
    assert TRACE not in everything_stored()


def test_a_retried_post_is_told_nothing_personal(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers with the order: of single ones and in bulk, and of what was shipped and came back."""
    shop.product("MUG", stock=10)
    order = shop.advance(shop.order(("MUG", 2), key="placed", **PERSONAL), "confirmed")
    path = f"{BASE}/orders/{order['id']}"
    asked: dict[str, tuple[str, Any]] = {
        "shipped": (f"{path}/shipments", {"tracking_number": TRACE}),
        "returned": (f"{path}/returns", {"reason": "illness"}),
        "bulk": (f"{BASE}/orders/bulk", {"orders": [shop.body(("MUG", 1), **PERSONAL)]}),
    }
    first = {key: shop.api.post(*ask, idempotency_key=key) for key, ask in asked.items()}
    shop.order(("MUG", 1), key="other", **{**PERSONAL, "customer_id": "customer-2"})

    erase_by_now(shop)

    for key, ask in asked.items():
        again = shop.api.post(*ask, idempotency_key=key)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.status_code == first[key].status_code
        assert TRACE.encode() not in again.content
        assert again.json().keys() == first[key].json().keys()
    assert TRACE.encode() not in bytes(IdempotencyKey.objects.get(key="placed").body)
    assert TRACE.encode() in bytes(IdempotencyKey.objects.get(key="other").body)


def test_the_answer_about_a_later_order_stays(shop: Shop) -> None:
    shop.product("MUG", stock=10)
    first = shop.order(("MUG", 1), key="first", **PERSONAL)
    erase_customer(shop, "customer-1")
    with stopped_while_placing(lambda: shop.order(("MUG", 1), **PERSONAL)):
        run_jobs()
        later = shop.try_order(("MUG", 1), key="later", shipping_address=ADDRESS)
    erase_the_rest()

    again = shop.try_order(("MUG", 1), key="later", shipping_address=ADDRESS)
    assert again.content == later.content
    assert shop.read(first)["shipping_address"] is None


def test_answers_are_looked_through_in_parts(shop: Shop) -> None:
    shop.product("MUG", stock=10)
    for nth in range(3):
        shop.order(("MUG", 1), key=f"key {nth}")
    seen: list[Any] = []
    after: str | None = ""

    def look(answer: Any) -> Any:
        seen.append(answer)
        return answer

    while after is not None:
        after = erase_answers(
            account_id=shop.api.account.id,
            mention=b"customer-1",
            blank=look,
            after=after,
            limit=2,
        )

    assert len(seen) == 3


def test_what_is_kept_of_an_erasure_goes_after_a_while(shop: Shop) -> None:
    erase_by_now(shop)
    assert Erasure.objects.count() == 1

    Erasure.objects.update(created_at=Now() - 2 * erasing.KEPT)
    run_jobs()

    assert Erasure.objects.count() == 0
