"""A small business to look at: what pictures are taken of and browser tests click through.

All of it is made by API calls with the demo keys, so that it looks as a real one does.
"""

import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.client import Client
from sandbox.receiver import Receiver

PATIENCE_SECONDS = 60.0

_STOREFRONTS = [("web", "Web shop"), ("market", "Marketplace"), ("pos", "Shop on the corner")]
_PRODUCTS = [
    ("MUG", "Mug, enamel", 1250, 400),
    ("TEE-M", "T-shirt, medium", 2400, 250),
    ("TEE-L", "T-shirt, large", 2400, 38),
    ("LAMP", "Desk lamp", 8900, 60),
    ("BOOK", "Notebook, ruled", 950, 900),
    ("CHAIR", "Folding chair", 14900, 24),
    ("BAG", "Canvas bag", 1800, 120),
    ("CLOCK", "Wall clock", 5600, 14),
]
_PEOPLE = [
    ("Ada", "Lovelace"),
    ("Grace", "Hopper"),
    ("Emmy", "Noether"),
    ("Alan", "Turing"),
    ("Sofia", "Kovalevskaya"),
    ("Edsger", "Dijkstra"),
]
_DEALS = [
    ("Concert tickets, row 3", 12000),
    ("Pallet of returned lamps", 48000),
    ("Last season's shirts", 9900),
    ("Office chairs, 40 pieces", 210000),
    ("Espresso machine, ex display", 64000),
]


def furnish(demo: dict[str, Any], receiver: Receiver) -> None:
    """Fill a fresh demo: shops, orders in every state, deals and bids, a stream, customers, endpoints.

    `receiver` takes the webhooks of the shop; it refuses those of the seller, whose secret it lacks.
    """
    with ExitStack() as stack:
        clients = {
            slug: Client(demo["base_url"], account["api_key"])
            for slug, account in demo["accounts"].items()
        }
        for client in clients.values():
            stack.callback(client.close)
        _listen(clients, receiver)
        _connect_customers(clients["crm"])
        _sell_in_shops(clients["storefront"])
        _deal(clients["seller"], clients["buyer"])
        _fetch(clients["data"], demo, receiver)
        _settle(clients)


def _listen(clients: dict[str, Client], receiver: Receiver) -> None:
    body = {"url": receiver.url("/shop"), "event_types": ["*"], "description": "Warehouse"}
    endpoint = clients["storefront"].call("POST", "/webhook-endpoints", body)
    receiver.trust("/shop", endpoint["secret"])
    refused = {"url": receiver.url("/agency"), "event_types": ["deal.*"], "description": "Agency"}
    clients["seller"].call("POST", "/webhook-endpoints", refused)


def _connect_customers(crm: Client) -> None:
    crm.call("PUT", "/crm/connection", {"access_token": "made-up", "missing_contact": "create"})
    for first, last in _PEOPLE:
        body = {"email": f"{first}@example.com".lower(), "first_name": first, "last_name": last}
        crm.call("POST", "/customers", body)


def _sell_in_shops(shop: Client) -> None:
    for code, name in _STOREFRONTS:
        shop.call("POST", "/storefronts", {"code": code, "name": name, "currency": "EUR"})
    for sku, name, price, stock in _PRODUCTS:
        body = {"sku": sku, "name": name, "price": price, "currency": "EUR", "stock": stock}
        body["low_stock_threshold"] = 10
        shop.call("POST", "/products", body)
    for number in range(36):
        _order(shop, number)


def _order(shop: Client, number: int) -> None:
    """Place one and take it as far as its number says."""
    storefront = _STOREFRONTS[number * 7 // 3 % 3][0]
    first = _PRODUCTS[number % len(_PRODUCTS)][0]
    second = _PRODUCTS[(number * 3 + 1) % len(_PRODUCTS)][0]
    items = [{"sku": first, "quantity": 1 + number % 3}]
    if second != first:
        items.append({"sku": second, "quantity": 1})
    body = {"storefront": storefront, "customer_id": f"c-{number % 9}", "items": items}
    order = shop.call("POST", "/orders", {**body, "external_id": f"{storefront}-{1000 + number}"})
    steps: list[dict[str, str]] = [
        {"status": "confirmed"},
        {"status": "shipped", "tracking_company": "DHL", "tracking_number": f"00340{number:07}"},
        {"status": "completed"},
    ]
    if number % 12 == 5:
        steps = [{"status": "canceled"}]
    for step in steps[: number % 5]:
        shop.call("PATCH", f"/orders/{order['id']}", step)


def _deal(seller: Client, buyer: Client) -> None:
    seller.call("POST", "/authorizations", {"buyer": "buyer"})
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds")
    for number, (name, price) in enumerate(_DEALS):
        body: dict[str, Any] = {
            "name": name,
            "total_price": price,
            "currency": "EUR",
            "items": [{"name": name, "price": price}],
        }
        if number == 4:
            auction = {"ends_at": tomorrow, "minimum": price // 2, "increment": 500}
            body["auction"] = auction
        deal = seller.call("POST", "/deals", body)
        if number in (0, 1, 4):
            bid = buyer.call("POST", f"/deals/{deal['id']}/bids", {"amount": price - 1000})
            if number == 0:
                seller.call("POST", f"/bids/{bid['id']}/accept")


def _fetch(data: Client, demo: dict[str, Any], receiver: Receiver) -> None:
    """A stream that reads this installation's own list of event types, and one that cannot."""
    key = demo["accounts"]["data"]["api_key"]
    auth = {"type": "api_key", "name": "X-API-Key", "in": "header", "value": key}
    good = {
        "name": "Event types",
        "url": f"{demo['base_url']}/api/v1/event-types",
        "records_path": "results",
        "primary_key": "type",
        "auth": auth,
    }
    bad = {"name": "Price list", "url": receiver.url("/prices"), "primary_key": "sku"}
    for body in (good, bad):
        stream = data.call("POST", "/streams", body)
        data.call("POST", f"/streams/{stream['id']}/start")


def _settle(clients: dict[str, Client]) -> None:
    """Wait until what follows by itself has followed; TimeoutError when it does not."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        customers = clients["crm"].call("GET", "/customers")["results"]
        streams = clients["data"].call("GET", "/streams")["results"]
        if all(one["crm"]["state"] == "synced" for one in customers) and all(
            one["health"] != "never_run" for one in streams
        ):
            return
        time.sleep(0.5)
    raise TimeoutError(f"Customers or streams were not done within {PATIENCE_SECONDS:.0f} s.")
