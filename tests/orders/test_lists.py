"""GET /orders: filters, pages, and who sees what."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.common.clock import rfc3339
from apps.orders.models import Order
from tests.orders.conftest import BASE, MakeShop, Shop
from tests.support import ApiClient

pytestmark = pytest.mark.django_db


@pytest.fixture
def stocked(shop: Shop) -> Shop:
    shop.product("MUG", stock=100)
    shop.product("TEA", stock=100)
    return shop


def ids(shop: Shop, **query: Any) -> list[str]:
    answer = shop.api.get(f"{BASE}/orders", **query)
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def test_every_filter_narrows(stocked: Shop) -> None:
    till = Shop(stocked.api, "till")
    one = stocked.order(("MUG", 1), customer_id="ada", external_id="x-1")
    two = stocked.advance(stocked.order(("TEA", 1), customer_id="bob"), "confirmed")
    three = till.order(("MUG", 1), ("TEA", 1), customer_id="ada", external_id="x-1")

    assert ids(stocked) == [three["id"], two["id"], one["id"]]
    assert ids(stocked, status="confirmed") == [two["id"]]
    assert ids(stocked, storefront="till") == [three["id"]]
    assert ids(stocked, storefront="nowhere") == []
    assert ids(stocked, customer_id="ada") == [three["id"], one["id"]]
    assert ids(stocked, external_id="x-1") == [three["id"], one["id"]]
    assert ids(stocked, external_id="x-1", storefront="web") == [one["id"]]
    assert ids(stocked, sku="TEA") == [three["id"], two["id"]]
    assert ids(stocked, sku="NONE") == []
    assert ids(stocked, created_after=two["created_at"]) == [three["id"]]
    assert ids(stocked, created_before=two["created_at"]) == [one["id"]]
    assert ids(stocked, created_after="0001-01-01T00:00:00Z", status="pending") == [
        three["id"],
        one["id"],
    ]


def test_ids_carry_the_time_of_creation(stocked: Shop) -> None:
    order = Order.objects.get(pk=stocked.order()["id"])
    just_before = rfc3339(order.created_at - timedelta(microseconds=1))
    just_after = rfc3339(order.created_at + timedelta(microseconds=1))

    assert ids(stocked, created_after=just_before) == [str(order.pk)]
    assert ids(stocked, created_before=just_after) == [str(order.pk)]
    assert ids(stocked, created_after=just_after) == []


def test_pages_follow_each_other_without_gap_or_overlap(stocked: Shop) -> None:
    placed = [stocked.order()["id"] for _ in range(7)][::-1]
    seen: list[str] = []
    url: str | None = f"{BASE}/orders?limit=3"

    while url:
        page = stocked.api.get(url).json()
        seen += [row["id"] for row in page["results"]]
        url = page["next"]

    assert seen == placed
    assert page["previous"] is not None


def test_a_page_costs_the_same_however_many_orders_are_on_it(stocked: Shop) -> None:
    def queries(limit: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            ids(stocked, limit=limit)
        assert not any("COUNT(" in query["sql"] for query in captured)
        return len(captured)

    for _ in range(6):
        stocked.order(("MUG", 1), ("TEA", 1))
    ids(stocked)

    assert queries(1) == queries(6) == 3  # orders, lines, shipments


@pytest.mark.parametrize(
    "query",
    [
        {"status": "sold"},
        {"limit": "0"},
        {"limit": "x"},
        {"cursor": "abc"},
        {"created_after": "yesterday"},
        {"created_after": "0001-01-01T00:00:00+14:00"},
        {"customer_id": ""},
        {"sku": "a\0b"},
        {"external_id": "x" * 101},
        {"sort": "total"},
    ],
)
def test_parameters_that_make_no_sense_are_400(shop: Shop, query: dict[str, str]) -> None:
    answer = shop.api.request("GET", f"{BASE}/orders", query=query)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] == next(iter(query))


def test_the_far_ends_of_time_are_no_trouble(stocked: Shop) -> None:
    order = stocked.order()

    assert ids(stocked, created_before="9999-12-31T23:59:59.999999Z") == [order["id"]]
    assert ids(stocked, created_after="9999-12-31T23:59:59.999999Z") == []
    assert ids(stocked, created_before="0001-01-01T00:00:00Z") == []


def test_another_account_sees_none_of_it(stocked: Shop, make_shop: MakeShop) -> None:
    stranger = make_shop(code="theirs")
    order = stocked.order(external_id="x")
    mug = stocked.api.get(f"{BASE}/products", sku="MUG").json()["results"][0]

    for method, path, body in (
        ("GET", f"orders/{order['id']}", None),
        ("PATCH", f"orders/{order['id']}", {"status": "confirmed"}),
        ("DELETE", f"orders/{order['id']}", None),
        ("GET", f"orders/{order['id']}/history", None),
        ("GET", f"products/{mug['id']}", None),
        ("PATCH", f"products/{mug['id']}", {"price": 1}),
        ("PUT", f"products/{mug['id']}/stock", {"on_hand": 1}),
        ("POST", f"products/{mug['id']}/stock-adjustments", {"delta": 1, "reason": "x"}),
        ("GET", f"products/{mug['id']}/stock-movements", None),
        ("GET", f"storefronts/{stocked.storefront['id']}", None),
        ("PATCH", f"storefronts/{stocked.storefront['id']}", {"name": "x"}),
    ):
        answer = stranger.api.request(method, f"{BASE}/{path}", body)
        assert answer.status_code == 404, path
    for filters in ({}, {"external_id": "x"}, {"sku": "MUG"}, {"storefront": "web"}):
        assert ids(stranger, **filters) == []
    assert stranger.api.get(f"{BASE}/products").json()["results"] == []


def test_reading_needs_orders_read_and_writing_orders_write(stocked: Shop, api: Any) -> None:
    reader: ApiClient = api("orders:read", account=stocked.api.account)
    nobody: ApiClient = api("deals:write", account=stocked.api.account)

    assert reader.get(f"{BASE}/orders").status_code == 200
    assert reader.post(f"{BASE}/orders", stocked.body(("MUG", 1))).status_code == 403
    assert nobody.get(f"{BASE}/orders").status_code == 403
    assert not Order.objects.exists()
