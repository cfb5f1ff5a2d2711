"""Orders that come at the same time are written by one statement, and each is as if it had come alone."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from django.db import OperationalError, connection

from apps.common.models import IdempotencyKey
from apps.events.models import Event
from apps.orders.models import Order, OrderChange, Product, StockMovement
from apps.orders.services import placing
from tests.orders.conftest import MakeShop, Shop, assert_ledger_agrees, stock
from tests.support import background, concurrently, holding, wait_until
from tests.support.concurrency import somebody_waits_for_a_lock

pytestmark = pytest.mark.django_db(transaction=True)

Ask = Callable[[], Any]
TOGETHER = "FROM orders_post_together_v1("
ALONE = "FROM orders_post_alone_v1("
# Of an order; what is given to it is not among them.
_COLUMNS = (
    "account_id",
    "storefront_id",
    "external_id",
    "customer_id",
    "status",
    "currency",
    "total",
    "metadata",
    "shipping_address",
    "version",
)


class Together:
    """Has requests come while another order is on its way, so that they are written together.

    `statements` counts what they sent; `around` is called with what sends one, and its text.
    """

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self.statements: Counter[str] = Counter()
        self.around: Callable[[Ask, str], Any] = lambda send, _: send()
        shop.product("OPENER")
        shop.order(("OPENER", 1))

    def __call__(self, *asks: Ask) -> list[Any]:
        """Their answers, in the order of `asks`."""
        is_on_its_way = threading.Event()

        def open_(send: Ask, sql: str) -> Any:
            if "FROM orders_post_soon_v1(" in sql:
                is_on_its_way.set()
                wait_until(lambda: len(placing._together._waiting) == len(asks), seconds=30)
            return send()

        def work(nth: int) -> Any:
            if nth == 0:
                with wrapped(open_):
                    return self._shop.order(("OPENER", 1))
            assert is_on_its_way.wait(30)
            with wrapped(self._counted):
                return asks[nth - 1]()

        return concurrently(1 + len(asks), work)[1:]

    def _counted(self, send: Ask, sql: str) -> Any:
        for name in (TOGETHER, ALONE):
            self.statements[name] += name in sql
        return self.around(send, sql)


@contextmanager
def wrapped(around: Callable[[Ask, str], Any]) -> Iterator[None]:
    """Call `around` with whatever this thread sends."""

    def run(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        return around(lambda: execute(sql, params, many, context), sql)

    with connection.execute_wrapper(run):
        yield


@pytest.fixture
def together(shop: Shop) -> Together:
    for sku in ("MUG", "CUP", "POT"):
        shop.product(sku)
    shop.order(("MUG", 1), ("CUP", 1), ("POT", 1))  # known from here on
    return Together(shop)


def statuses(answers: Sequence[Any]) -> list[int]:
    return sorted(answer.status_code for answer in answers)


def everything(number: int) -> Any:
    """All that is stored of an order, with what is given to it by PostgreSQL under a name."""
    order = Order.objects.select_related("storefront").get(number=number)
    given = {
        str(order.id): "ID",
        f'"number":{order.number}': '"number":0',
        order.created_at.isoformat().replace("+00:00", "Z"): "AT",
    }
    given |= {str(line.id): f"LINE {line.sku}" for line in order.lines.all()}
    if order.reservation_expires_at:
        given[order.reservation_expires_at.isoformat().replace("+00:00", "Z")] = "END"
        assert (order.reservation_expires_at - order.created_at).total_seconds() == 1800
    change = OrderChange.objects.get(order_id=order.id)
    event = Event.objects.get(subject=order.id)
    key = IdempotencyKey.objects.filter(location__endswith=str(order.id)).first()
    found = {
        "order": {name: getattr(order, name) for name in _COLUMNS},
        "lines": list(
            order.lines.order_by("sku").values(
                "sku", "name", "quantity", "unit_price", "product_id"
            )
        ),
        "movements": list(
            StockMovement.objects.filter(order_id=order.id)
            .order_by("product_id")
            .values("product_id", "kind", "on_hand", "reserved", "reason", "actor")
        ),
        "change": [change.version, change.type, change.changes, change.actor],
        "event": [event.type, event.version, event.account_id, event.actor, event.readers],
        "payload": orjson.loads(bytes(event.payload)) | {"id": "EVENT"},
        "answer": key and [key.status, orjson.loads(bytes(key.body)), key.location],
    }
    assert (change.at, event.occurred_at, order.updated_at) == (order.created_at,) * 3
    text = orjson.dumps(found, default=str, option=orjson.OPT_SORT_KEYS).decode()
    for value, name in given.items():
        text = text.replace(value, name)
    return orjson.loads(text)


@pytest.mark.parametrize("storefront", [{}, {"reservation_minutes": 30}])
def test_what_is_stored_is_what_is_stored_of_one_alone(
    make_shop: MakeShop, storefront: dict[str, Any]
) -> None:
    shop = make_shop(**storefront)
    for sku in ("MUG", "CUP"):
        shop.product(sku, stock=100)
    shop.order(("MUG", 1), ("CUP", 1))
    together = Together(shop)
    address = {"name": "Ada", "line1": "1 Main St", "city": "Bern", "country": "CH"}
    kinds: list[dict[str, Any]] = [
        {},
        {"key": "k"},
        {"metadata": {"note": "a \x1f, a \x1e, \\u0000 and 'quotes'"}, "shipping_address": address},
        {"key": "l", "metadata": {"2": ["é", None, 1.5]}},
    ]

    def ask(kind: dict[str, Any], suffix: str) -> Any:
        more = {"key": kind["key"] + suffix} if "key" in kind else {}
        return shop.try_order(("MUG", 2), ("CUP", 1), **kind | more)

    alone = [ask(kind, "1").json()["number"] for kind in kinds]
    answers = together(*(lambda kind=kind: ask(kind, "2") for kind in kinds))

    assert statuses(answers) == [201] * 4
    assert together.statements == {TOGETHER: 1, ALONE: 0}
    assert [everything(one.json()["number"]) for one in answers] == [*map(everything, alone)]
    for answer in answers:
        assert shop.read(answer.json()) == answer.json()
    assert_ledger_agrees()


def test_an_answer_given_together_is_replayed(shop: Shop, together: Together) -> None:
    first, _ = together(
        lambda: shop.try_order(("MUG", 1), key="k"), lambda: shop.try_order(("CUP", 1))
    )

    again = shop.try_order(("MUG", 1), key="k")

    assert together.statements == {TOGETHER: 1, ALONE: 0}
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert stock("MUG") == (10, 2)


def test_numbers_go_by_time(shop: Shop, together: Together) -> None:
    answers = together(*[lambda: shop.try_order(("MUG", 1))] * 6)

    rows = sorted(one.json()["number"] for one in answers)
    by_id = Order.objects.filter(number__in=rows).order_by("id").values_list("number", flat=True)
    assert list(by_id) == rows
    assert together.statements[TOGETHER] == 1


def test_one_that_there_is_not_enough_for_keeps_nobody_from_his(
    shop: Shop, together: Together
) -> None:
    answers = together(
        lambda: shop.try_order(("MUG", 100)),
        lambda: shop.try_order(("MUG", 2)),
        lambda: shop.try_order(("CUP", 3)),
    )

    assert [answer.status_code for answer in answers] == [409, 201, 201]
    assert answers[0].json()["errors"][0]["available"] in (7, 9)
    assert together.statements == {TOGETHER: 1, ALONE: 3}
    assert (stock("MUG"), stock("CUP")) == ((10, 3), (10, 4))


def test_what_they_want_in_all_is_never_more_than_there_is(shop: Shop, together: Together) -> None:
    answers = together(*[lambda: shop.try_order(("MUG", 4))] * 4)

    assert statuses(answers) == [201, 201, 409, 409]
    assert stock("MUG") == (10, 9)
    assert_ledger_agrees()


def test_a_key_of_two_of_them_places_one(shop: Shop, together: Together) -> None:
    answers = together(*[lambda: shop.try_order(("MUG", 1), key="k")] * 3)

    placed = {one.json()["number"] for one in answers if one.status_code == 201}
    assert len(placed) == 1
    assert {one.status_code for one in answers} <= {201, 409}
    assert stock("MUG") == (10, 2)


def test_an_external_id_of_two_of_them_is_the_firsts(shop: Shop, together: Together) -> None:
    answers = together(
        *[lambda: shop.try_order(("MUG", 1), external_id="A-1")] * 2,
        lambda: shop.try_order(("MUG", 1), external_id="A-2"),
    )

    assert statuses(answers) == [201, 201, 409]
    assert answers[2].status_code == 201
    assert stock("MUG") == (10, 3)


def test_a_price_that_has_moved_is_told_to_all(shop: Shop, together: Together) -> None:
    Product.objects.filter(sku="MUG").update(price=2000)  # as another process would

    answers = together(*[lambda: shop.try_order(("MUG", 1))] * 3)

    assert [answer.json()["total"] for answer in answers] == [2000] * 3
    assert stock("MUG") == (10, 4)


def test_who_waits_for_a_product_keeps_nobody_waiting(shop: Shop, together: Together) -> None:
    """The stock of one of them is held for as long as it takes the others to be placed."""
    others: list[Any] = []

    def wait_and_place_the_others() -> None:
        held = holding("SELECT FROM orders_stock WHERE product_id = %s FOR UPDATE", mug.pk)
        with held:
            may_come.set()
            wait_until(lambda: len(others) == 2, seconds=30)

    mug = Product.objects.get(sku="MUG")
    may_come = threading.Event()
    with background(wait_and_place_the_others):
        assert may_come.wait(30)
        answers = together(
            lambda: shop.try_order(("MUG", 1)),
            lambda: others.append(shop.try_order(("CUP", 1))),
            lambda: others.append(shop.try_order(("POT", 1))),
        )

    assert statuses([answers[0], *others]) == [201] * 3
    assert_ledger_agrees()


def test_one_that_waits_alone_keeps_nobody_waiting(shop: Shop, together: Together) -> None:
    may_come = threading.Event()

    def come() -> Any:
        assert may_come.wait(30)
        return shop.try_order(("MUG", 1))

    with background(come) as waiting, holding("SELECT FROM orders_stock FOR UPDATE"):
        may_come.set()
        wait_until(somebody_waits_for_a_lock)
        short = shop.try_order(("CUP", 100))
        assert not waiting.done()

    assert (short.status_code, waiting.result().status_code) == (409, 201)


def test_one_that_does_not_come_back_keeps_nobody_waiting(shop: Shop, together: Together) -> None:
    """PostgreSQL does not answer it, for as long as it takes another one to be placed."""
    is_on_its_way, may_come_back = threading.Event(), threading.Event()

    def linger(send: Ask, sql: str) -> Any:
        if "FROM orders_post_soon_v1(" in sql:
            is_on_its_way.set()
            assert may_come_back.wait(30)
        return send()

    def come() -> Any:
        with wrapped(linger):
            return shop.try_order(("MUG", 1))

    with background(come) as lingering:
        assert is_on_its_way.wait(30)
        placed = shop.try_order(("CUP", 1))
        assert not lingering.done()
        may_come_back.set()

    assert (placed.status_code, lingering.result().status_code) == (201, 201)
    assert_ledger_agrees()


def test_a_long_one_makes_nobody_wait(shop: Shop, together: Together) -> None:
    """Whoever waits for its turn is one for whom others wait, too."""
    sent: list[str] = []

    def note(send: Ask, sql: str) -> Any:
        sent.append(sql)
        return send()

    with wrapped(note):
        shop.order(("MUG", 1), metadata={"note": "x" * placing.LONGEST_TOGETHER})

    assert [ALONE in sql for sql in sent if "FROM orders_post" in sql] == [True]


def test_nobody_is_placed_twice_when_the_answer_is_lost(shop: Shop, together: Together) -> None:
    """PostgreSQL has committed, and the connection is gone before it can say so."""

    def lose(send: Ask, sql: str) -> Any:
        done = send()
        if TOGETHER in sql:
            connection.close()
            raise OperationalError("the connection is lost")
        return done

    together.around = lose
    answers = together(*[lambda: shop.try_order(("MUG", 1))] * 3)

    assert statuses(answers) == [503] * 3
    assert together.statements == {TOGETHER: 1, ALONE: 0}
    assert stock("MUG") == (10, 4)
    assert_ledger_agrees()
