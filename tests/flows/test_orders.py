"""An order, from the request to the shop's own programs."""

from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.flows.conftest import Listen
from tests.support import ApiClient, concurrently, run_jobs


@pytest.fixture
def shop(transactional_db: None, api: MakeClient) -> ApiClient:
    """A shop with a storefront `web` and ten mugs."""
    client = api()
    client.post("/api/v1/storefronts", {"code": "web", "name": "Web shop", "currency": "EUR"})
    mug = {"sku": "MUG", "name": "Mug", "price": 1250, "currency": "EUR", "stock": 10}
    assert client.post("/api/v1/products", mug).status_code == 201
    return client


def place(shop: ApiClient, quantity: int = 1, **options: Any) -> Any:
    body = {
        "storefront": "web",
        "customer_id": "customer-1",
        "items": [{"sku": "MUG", "quantity": quantity}],
    }
    return shop.post("/api/v1/orders", body, **options)


def test_an_order_arrives_signed(shop: ApiClient, api: MakeClient, listen: Listen) -> None:
    listening, elsewhere = listen(shop, "order.*"), listen(api(), "*")

    order = place(shop, 2).json()
    run_jobs()

    (sent,) = listening.got()
    assert sent["type"] == "order.created"
    assert sent["data"]["object"]["id"] == order["id"]
    assert sent["data"]["object"]["total"] == order["total"] == 2500
    assert elsewhere.got() == []


def test_the_life_of_an_order_arrives(shop: ApiClient, listen: Listen) -> None:
    listening = listen(shop, "order.*")
    path = f"/api/v1/orders/{place(shop).json()['id']}"

    for status in ("confirmed", "shipped", "completed"):
        assert shop.patch(path, {"status": status}).status_code == 200
    assert shop.delete(path).status_code == 204
    run_jobs()

    assert sorted(listening.types()) == [
        "order.completed",
        "order.confirmed",
        "order.created",
        "order.deleted",
        "order.shipped",
    ]


def test_an_order_that_was_refused_is_not_told(shop: ApiClient, listen: Listen) -> None:
    listening = listen(shop)

    assert place(shop, 11).status_code == 409
    run_jobs()

    assert listening.got() == []


def test_of_more_orders_than_stock_each_that_was_taken_arrives_once(
    shop: ApiClient, listen: Listen
) -> None:
    listening = listen(shop, "order.created")

    answers = concurrently(16, lambda n: place(shop, idempotency_key=str(n)))
    run_jobs()

    taken = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    assert len(taken) == 10
    assert sorted(body["data"]["object"]["id"] for body in listening.got()) == sorted(taken)


def test_many_dispatchers_at_once_deliver_each_event_once(shop: ApiClient, listen: Listen) -> None:
    listening = listen(shop, "order.created")
    for _ in range(10):
        place(shop)

    concurrently(5, lambda _: run_jobs())

    ids = [body["id"] for body in listening.got()]
    assert len(ids) == len(set(ids)) == 10
