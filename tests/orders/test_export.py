"""GET /orders/export: the same orders as the list, as one stream of any size."""

import csv
import io
import tracemalloc
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.db import connection

from apps.common import clock
from apps.common.api import streaming
from apps.common.ids import uuid7, uuid7_at
from apps.orders.api.exports import ndjson
from apps.orders.models import Order, OrderLine, Product, Storefront
from apps.orders.selectors import orders, whole_orders
from tests.orders.conftest import BASE, MakeShop, Shop
from tests.support import ApiClient

pytestmark = pytest.mark.django_db(transaction=True)


def export(shop: Shop, accept: str = "application/x-ndjson", **query: Any) -> Any:
    return shop.api.get(f"{BASE}/orders/export", headers={"Accept": accept}, **query)


def exported(shop: Shop, **query: Any) -> list[dict[str, Any]]:
    answer = export(shop, **query)
    assert answer.status_code == 200, answer.content
    return [orjson.loads(line) for line in answer.getvalue().splitlines()]


def rows(shop: Shop, **query: Any) -> list[dict[str, str]]:
    answer = export(shop, "text/csv", **query)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode(), newline="")))


@pytest.fixture
def stocked(shop: Shop) -> Shop:
    shop.product("MUG", stock=100)
    shop.product("TEA", stock=100, name='Tea, "Earl Grey"\nloose')
    return shop


def add_orders(shop: Shop, count: int) -> None:
    """Straight into the table: this is about reading them."""
    storefront = Storefront.objects.get(pk=shop.storefront["id"])
    product = Product.objects.get(sku="MUG")
    now = clock.now()
    made = [
        Order(
            id=uuid7_at(now - timedelta(seconds=number)),
            account_id=storefront.account_id,
            storefront=storefront,
            number=-number,
            customer_id="c",
            status="pending",
            currency="EUR",
            total=1,
            created_at=now,
            updated_at=now,
        )
        for number in range(1, count + 1)
    ]
    Order.objects.bulk_create(made, batch_size=1000)
    OrderLine.objects.bulk_create(
        (
            OrderLine(
                id=uuid7(),
                order=order,
                product=product,
                sku="MUG",
                name="Mug",
                quantity=1,
                unit_price=1,
            )
            for order in made
        ),
        batch_size=1000,
    )


def test_each_line_is_an_order_as_get_shows_it(stocked: Shop) -> None:
    placed = [stocked.order(("MUG", 1), ("TEA", 2), metadata={"n": n}) for n in range(3)]

    answer = export(stocked)

    assert answer.headers["Content-Type"] == "application/x-ndjson; charset=utf-8"
    assert 'filename="orders.ndjson"' in answer.headers["Content-Disposition"]
    assert [orjson.loads(line) for line in answer.getvalue().splitlines()] == placed[::-1]


def test_a_spreadsheet_has_a_row_for_each_item(stocked: Shop) -> None:
    order = stocked.order(
        ("MUG", 1), ("TEA", 2), shipping_address={"name": "Ada", "city": "Zürich"}
    )

    mug, tea = rows(stocked)

    assert mug["id"] == tea["id"] == order["id"]
    assert (mug["item_sku"], mug["item_quantity"], mug["total"]) == ("MUG", "1", "3750")
    assert (tea["item_name"], tea["item_total"]) == ('Tea, "Earl Grey"\nloose', "2500")
    assert (tea["shipping_name"], tea["shipping_city"]) == ("Ada", "Zürich")
    assert mug["external_id"] == ""


def test_no_cell_is_a_formula(stocked: Shop) -> None:
    stocked.order(
        ("MUG", 1),
        customer_id="=HYPERLINK(0)",
        external_id="@SUM(1)",
        shipping_address={"name": "+1", "line1": "-2", "line2": "\t=3", "city": "a=b"},
    )

    (row,) = rows(stocked)

    assert row["customer_id"] == "'=HYPERLINK(0)"
    assert row["external_id"] == "'@SUM(1)"
    assert [row[f"shipping_{name}"] for name in ("name", "line1", "city")] == ["'+1", "'-2", "a=b"]
    assert not row["shipping_line2"].startswith(("\t", "="))


def test_it_filters_as_the_list_does(stocked: Shop, make_shop: MakeShop) -> None:
    mine = stocked.advance(stocked.order(("MUG", 1), customer_id="ada"), "confirmed")
    gone = stocked.order(("MUG", 1), customer_id="ada")
    stocked.delete(gone)
    other = stocked.order(("TEA", 1))
    stranger = make_shop(code="theirs")

    def ids(**query: Any) -> list[str]:
        return [row["id"] for row in exported(stocked, **query)]

    assert ids() == [other["id"], mine["id"]]
    assert ids(status="confirmed") == ids(customer_id="ada") == ids(sku="MUG") == [mine["id"]]
    assert ids(created_after=mine["created_at"], storefront="web") == [other["id"]]
    assert ids(after=other["id"]) == [mine["id"]]
    assert exported(stranger) == []
    assert export(stocked, limit=1).status_code == 400
    assert export(stocked, status="sold").status_code == 400
    assert export(stocked, "application/json").status_code == 406


def test_who_may_not_read_orders_may_not_export_them(stocked: Shop, api: Any) -> None:
    nobody: ApiClient = api("deals:write", account=stocked.api.account)

    assert nobody.get(f"{BASE}/orders/export").status_code == 403


def test_memory_does_not_grow_with_the_orders(stocked: Shop) -> None:
    add_orders(stocked, 1000)

    def peak(count: int) -> int:
        mine = orders(stocked.api.account.id)
        bound = mine.order_by("-pk")[count - 1 : count].values_list("pk", flat=True)[0]
        tracemalloc.start()
        lines = sum(
            part.count(b"\n") for part in ndjson(whole_orders(mine.filter(pk__gte=bound), chunk=50))
        )
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert lines == count
        return most

    peak(100)  # what is imported and remembered once

    assert peak(1000) < 1.5 * peak(150)


def test_no_transaction_and_no_connection_is_held_between_two_chunks(stocked: Shop) -> None:
    add_orders(stocked, 450)

    stream = iter(export(stocked).streaming_content)
    next(stream)

    assert connection.connection is None
    assert sum(part.count(b"\n") for part in stream) == 250


def test_orders_placed_meanwhile_neither_disturb_nor_repeat(stocked: Shop) -> None:
    before = [stocked.order()["id"] for _ in range(5)]
    chunks = whole_orders(orders(stocked.api.account.id), chunk=2)

    first = next(chunks)
    stocked.order()
    rest = [order for chunk in chunks for order in chunk]

    assert [str(order.pk) for order in [*first, *rest]] == before[::-1]


def test_a_client_that_goes_away_gives_its_place_back(stocked: Shop) -> None:
    add_orders(stocked, 450)

    for _ in range(streaming.MAX_STREAMS_OF_ACCOUNT * 2):
        answer = export(stocked)
        next(iter(answer.streaming_content))
        answer.close()

    assert export(stocked).status_code == 200


def test_an_account_has_a_few_streams_and_the_next_is_asked_to_wait(
    stocked: Shop, make_shop: MakeShop
) -> None:
    stocked.order()
    # Counted before a line of them is taken: those that come at the same moment are.
    held = [export(stocked) for _ in range(streaming.MAX_STREAMS_OF_ACCOUNT)]

    refused = export(stocked)
    neighbour = export(make_shop(code="theirs"))

    assert (refused.status_code, refused.json()["code"]) == (503, "too_many_exports")
    assert refused.headers["Retry-After"] == "10"
    assert neighbour.status_code == 200
    for answer in (*held, neighbour):
        answer.close()
    assert len(exported(stocked)) == 1
