"""How often each call asks the database, exactly: whoever changes one of these numbers knows what it costs.

The BEGIN and the COMMIT of a transaction count as one each. What is not here has a test of its own: orders, deals and
customers that are posted or changed.
"""

from typing import Any

from tests.architecture.household import Household
from tests.support.trips import traced

API = "/api/v1"

READS = {
    "/api-keys": 1,
    "/authorizations": 1,
    "/bids": 1,
    "/bids/{bid_id}": 1,
    "/credit-notes": 1,
    "/credit-notes/{credit_note_id}": 1,
    "/crm/connection": 3,
    "/customers": 3,
    "/customers/{customer_id}": 3,
    "/customers/{customer_id}/sync": 2,
    "/deals": 1,
    "/deals/{deal_id}": 2,
    "/deals/{deal_id}/bids": 3,
    "/deliveries/{delivery_id}": 2,
    "/event-types": 0,
    "/events": 1,
    "/events/{event_id}": 1,
    "/invoices": 1,
    "/invoices/{invoice_id}": 2,
    "/me": 2,
    "/orders": 4,
    "/orders/{order_id}": 4,
    "/orders/{order_id}/history": 2,
    "/orders/{order_id}/payments": 2,
    "/orders/{order_id}/returns": 4,
    "/orders/{order_id}/shipments": 4,
    "/orders/{order_id}/transitions": 3,
    "/orders/export": 4,
    "/products": 1,
    "/products/{product_id}": 1,
    "/products/{product_id}/stock-movements": 2,
    "/storefronts": 1,
    "/storefronts/{storefront_id}": 1,
    "/streams": 1,
    "/streams/{stream_id}": 1,
    "/streams/{stream_id}/consumers": 2,
    "/streams/{stream_id}/records": 4,
    "/streams/{stream_id}/rejected": 2,
    "/streams/{stream_id}/remap": 3,
    "/streams/{stream_id}/runs": 2,
    "/streams/{stream_id}/runs/{run_id}": 1,
    "/streams/{stream_id}/schemas": 2,
    "/webhook-endpoints": 1,
    "/webhook-endpoints/{endpoint_id}": 1,
    "/webhook-endpoints/{endpoint_id}/deliveries": 2,
    "/webhook-endpoints/{endpoint_id}/replays": 2,
    "/webhook-endpoints/{endpoint_id}/replays/{replay_id}": 2,
}

# In this order, each with a body and what it takes. Braces stand for the household's ids.
WRITES: list[tuple[str, Any, int]] = [
    ("POST /storefronts", {"code": "second", "name": "Second", "currency": "EUR"}, 4),
    ("PATCH /storefronts/{storefront_id}", {"name": "Renamed"}, 7),
    ("POST /products", {"sku": "B", "name": "B", "price": 5, "currency": "EUR", "stock": 9}, 9),
    ("PATCH /products/{product_id}", {"price": 6}, 8),
    ("PUT /products/by-sku/{sku}", {"name": "Product", "price": 7, "currency": "EUR"}, 11),
    ("POST /products/{product_id}/stock-adjustments", {"delta": 5, "reason": "count"}, 11),
    ("PUT /products/{product_id}/stock", {"on_hand": 50}, 11),
    ("PATCH /orders/{order_id}", {"metadata": {"gift": "yes"}}, 14),
    ("PATCH /orders/{order_id}", {"status": "shipped"}, 20),
    ("DELETE /orders/{order_id}", None, 8),
    ("PATCH /deals/{deal_id}", {"total_price": 1100}, 10),
    ("POST /bids/{bid_id}/counter", {"amount": 1000}, 10),
    ("DELETE /deals/{deal_id}", None, 12),
    ("POST /invoices/{invoice_id}/mark-paid", {}, 7),
    ("DELETE /authorizations/{authorization_id}", None, 10),
    ("POST /webhook-endpoints", {"url": "http://127.0.0.1:9000/", "event_types": ["deal.*"]}, 6),
    ("PATCH /webhook-endpoints/{endpoint_id}", {"description": "changed"}, 7),
    ("POST /deliveries/{delivery_id}/redeliver", {}, 8),
    ("POST /streams", {"name": "Second", "url": "http://127.0.0.1:9000/"}, 7),
    ("POST /streams/{stream_id}/start", {}, 13),
    ("POST /streams/{stream_id}/consumers/{consumer}/commit", {"offset": 1}, 7),
    ("POST /streams/{stream_id}/stop", {}, 10),
    ("POST /api-keys", {"name": "second", "scopes": ["orders:read"]}, 3),
    ("DELETE /api-keys/{key_id}", None, 5),
]


def test_every_read_takes_exactly_so_many(household: Household) -> None:
    counts = {}
    for each in household.reads():
        url = each.url(household.ids)
        household.client.get(url).getvalue()
        with traced() as trips:
            household.client.get(url).getvalue()
        counts[each.path.removeprefix(API)] = trips.count

    assert counts == READS


def test_writes_take_exactly_so_many(household: Household) -> None:
    counts = []
    for call, body, _ in WRITES:
        method, path = call.split()
        url = f"{API}{path.format(**household.ids)}"
        with traced() as trips:
            answer = household.client.request(method, url, body)
        assert answer.status_code < 300, (call, answer.content)
        counts.append((call, trips.count))

    assert counts == [(call, count) for call, _, count in WRITES]
