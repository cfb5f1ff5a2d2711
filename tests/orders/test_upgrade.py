"""From release to release: what web processes call that were not restarted yet, and the way back."""

from importlib import import_module
from typing import Any

import orjson
import pytest
from django.db import connection, transaction

from apps.common.actor import system
from apps.common.ids import uuid7
from apps.orders.services.asked import Asked
from apps.orders.services.building import Catalogue, NewOrder, build, document
from tests.orders.conftest import Shop, assert_ledger_agrees, stock

pytestmark = pytest.mark.django_db(transaction=True)

FUNCTIONS = "apps.orders.migrations.0011_place_with_stock_locked_last"


def call(statement: str, *arguments: Any) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        found: tuple[Any, ...] = cursor.fetchone()
    return found


def of_the_release_before(shop: Shop, wanted: NewOrder) -> tuple[dict[str, Any], bytes]:
    """The document that it sends, after a look at the database as it takes one."""
    account_id = shop.api.account.id
    at, number, storefront, products = call(
        "SELECT at, number, storefront::text, products::text"
        " FROM orders_read_for_placing(%s, %s, %s, NULL, 0)",
        account_id,
        wanted.storefront,
        wanted.items.skus,
    )
    catalogue = Catalogue.of(f"[{storefront}]", products)
    placed = build(wanted, catalogue, account_id=account_id, number=number, at=at)
    content, payload = document(placed, system("test"))
    columns = ("id", "product_id", "sku", "name", "quantity", "unit_price")
    lines = [{name: getattr(line, name) for name in columns} for line in placed.lines]
    return {
        "order": content,
        "storefront_version": content["storefront_version"],
        "lines": [{"movement_id": uuid7(), **line} for line in lines],
        "change": {"id": content["change_id"], "changes": content["changes"]},
        "event": content["event"],
    }, payload


def test_web_processes_of_the_release_before_go_on_placing_orders(shop: Shop) -> None:
    shop.product("MUG", stock=5)
    wanted = NewOrder(
        storefront="web",
        customer_id="c-1",
        items=Asked.of([{"sku": "MUG", "quantity": 2}]),
    )

    outcomes: list[str] = []
    for _ in range(2):
        content, payload = of_the_release_before(shop, wanted)
        outcomes += call(
            "SELECT outcome FROM orders_place(%s, %s, NULL, 86400)",
            orjson.dumps(content).decode(),
            payload,
        )
    content, payload = of_the_release_before(shop, wanted)
    (in_bulk,) = call(
        "SELECT outcomes->0->>'outcome' FROM orders_place_bulk(%s, %s::bytea[])",
        orjson.dumps([content]).decode(),
        [payload],
    )

    assert (outcomes, in_bulk) == (["placed", "placed"], "short")
    assert stock("MUG") == (5, 4)
    shop.order(("MUG", 1))
    assert_ledger_agrees()


def test_the_functions_go_and_come_again() -> None:
    (operation,) = import_module(FUNCTIONS).Migration.operations

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(operation.reverse_sql)
        cursor.execute(operation.sql)
        transaction.set_rollback(True)
