"""POST /deals."""

from typing import Any
from uuid import uuid4

import pytest

from apps.common.actor import Actor, ActorKind, system
from apps.deals.errors import InvalidTransition
from apps.deals.models import Deal, DealHistory, DealItem
from apps.deals.services.deals import create_deal
from apps.events.models import Event
from tests.conftest import MakeAccount
from tests.deals.support import DEALS, body, faults, published
from tests.support import ApiClient
from tests.support.currencies import NO_CURRENCY


def test_deal_is_answered_as_it_is_read_afterwards(seller: ApiClient) -> None:
    answer = seller.post(DEALS, body(discount={"type": "percentage", "amount": 10}))

    deal = answer.json()
    assert answer.status_code == 201
    assert deal == {
        "id": deal["id"],
        "seller": str(seller.account.id),
        "name": "Twelve chairs",
        "status": "available",
        "currency": "EUR",
        "total_price": 10_000,
        "discount": {"type": "percentage", "amount": 10},
        "final_price": 9_000,
        "auction": None,
        "items": [
            {"id": deal["items"][0]["id"], "name": "Chair", "price": 900},
            {"id": deal["items"][1]["id"], "name": "Table", "price": 0},
        ],
        "best_bid": None,
        "reserve_met": None,
        "version": 1,
        "created_at": deal["created_at"],
        "updated_at": deal["created_at"],
    }
    read = seller.get(answer.headers["Location"])
    assert read.json() == deal
    assert read.headers["ETag"] == answer.headers["ETag"] == '"1"'


def test_item_prices_are_independent_of_the_total(seller: ApiClient) -> None:
    answer = seller.post(DEALS, body(total_price=1, items=[{"name": "Piano", "price": 10**15 - 1}]))

    assert answer.status_code == 201
    assert answer.json()["final_price"] == 1


@pytest.mark.parametrize(
    ("discount", "final"),
    [
        ({"type": "flat", "amount": 10_000}, 0),
        ({"type": "flat", "amount": 0}, 10_000),
        ({"type": "percentage", "amount": 100}, 0),
        (None, 10_000),
    ],
)
def test_discounts_up_to_their_bounds(
    seller: ApiClient, discount: dict[str, Any] | None, final: int
) -> None:
    deal = seller.post(DEALS, body(discount=discount)).json()

    assert (deal["discount"], deal["final_price"]) == (discount, final)


ITEM = {"name": "Chair", "price": 1}


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        (
            {"discount": {"type": "flat", "amount": 10_001}},
            "/discount/amount",
            "discount_above_total",
        ),
        ({"discount": {"type": "percentage", "amount": 101}}, "/discount/amount", "max_value"),
        ({"discount": {"type": "percentage", "amount": 12.5}}, "/discount/amount", "invalid"),
        ({"discount": {"type": "percentage", "amount": -1}}, "/discount/amount", "min_value"),
        ({"discount": {"type": "percentage"}}, "/discount/amount", "required"),
        ({"discount": {"type": "half", "amount": 1}}, "/discount/type", "invalid_choice"),
        ({"discount": 10}, "/discount", "invalid"),
        ({"total_price": "10000"}, "/total_price", "invalid"),
        ({"total_price": -1}, "/total_price", "min_value"),
        ({"total_price": 10**15}, "/total_price", "max_value"),
        ({"total_price": True}, "/total_price", "invalid"),
        ({"total_price": None}, "/total_price", "null"),
        ({"currency": "EURO"}, "/currency", "unknown_currency"),
        ({"currency": NO_CURRENCY}, "/currency", "unknown_currency"),
        ({"currency": "eur"}, "/currency", "unknown_currency"),
        ({"name": ""}, "/name", "blank"),
        ({"name": "x" * 201}, "/name", "max_length"),
        ({"name": 7}, "/name", "invalid"),
        ({"status": "sold"}, "/status", "invalid_choice"),
        ({"status": "withdrawn"}, "/status", "invalid_choice"),
        ({"final_price": 1}, "/final_price", "unknown_field"),
        ({"seller": str(uuid4())}, "/seller", "unknown_field"),
        ({"items": []}, "/items", "min_length"),
        ({"items": [ITEM] * 501}, "/items", "max_length"),
        ({"items": {}}, "/items", "not_a_list"),
        ({"items": [ITEM, 7]}, "/items/1", "invalid"),
        ({"items": [ITEM, {"name": "Table"}]}, "/items/1/price", "required"),
        ({"items": [{**ITEM, "price": -1}]}, "/items/0/price", "min_value"),
        ({"items": [{**ITEM, "price": "1"}]}, "/items/0/price", "invalid"),
        ({"items": [{**ITEM, "id": str(uuid4())}]}, "/items/0/id", "unknown_field"),
    ],
)
def test_wrong_input_is_refused_at_its_place(
    seller: ApiClient, fields: dict[str, Any], pointer: str, code: str
) -> None:
    assert faults(seller.post(DEALS, body(**fields))) == {pointer: code}
    assert not Deal.objects.exists()
    assert not Event.objects.exists()


@pytest.mark.parametrize("missing", ["name", "total_price", "currency", "items"])
def test_required_fields(seller: ApiClient, missing: str) -> None:
    sent = {name: value for name, value in body().items() if name != missing}

    assert faults(seller.post(DEALS, sent)) == {f"/{missing}": "required"}


def test_500_items_are_accepted_in_their_order(seller: ApiClient) -> None:
    items = [{"name": f"Chair {n}", "price": n} for n in range(500)]

    deal = seller.post(DEALS, body(items=items)).json()

    assert [(item["name"], item["price"]) for item in deal["items"]] == [
        (item["name"], item["price"]) for item in items
    ]
    assert seller.get(f"{DEALS}/{deal['id']}").json() == deal


def test_creation_is_one_event_and_the_first_entry_of_the_history(seller: ApiClient) -> None:
    deal = seller.post(DEALS, body(), headers={"X-Request-Id": "mine"}).json()

    assert [(one["type"], one["data"]) for one in published(deal["id"])] == [
        ("deal.created", {"object": deal})
    ]
    event = Event.objects.get()
    assert (event.account_id, event.request_id) == (seller.account.id, "mine")
    entry = DealHistory.objects.get()
    assert (str(entry.deal_id), entry.type, entry.at) == (
        deal["id"],
        "deal.created",
        event.occurred_at,
    )
    assert entry.actor["label"] == seller.key.prefix
    assert entry.changes["total_price"] == [None, 10_000]
    assert "discount" not in entry.changes


def test_retry_with_its_key_makes_no_second_deal(seller: ApiClient) -> None:
    first = seller.post(DEALS, body(), idempotency_key="once")
    again = seller.post(DEALS, body(), idempotency_key="once")

    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert (Deal.objects.count(), DealItem.objects.count(), Event.objects.count()) == (1, 2, 1)


def test_only_who_the_table_names_may_create(make_account: MakeAccount) -> None:
    account = make_account()
    person = Actor(kind=ActorKind.USER, id="1", label="admin")

    assert create_deal(seller_id=account.id, terms=body(), actor=person).status == "available"
    with pytest.raises(InvalidTransition):
        create_deal(seller_id=account.id, terms=body(), actor=system("some.job"))
