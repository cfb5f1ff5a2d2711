"""PUT, PATCH and DELETE of a deal."""

from typing import Any
from uuid import uuid4

import pytest

from apps.deals.models import Deal, DealHistory
from apps.events.models import Event
from tests.deals.support import DEALS, Deals, body, faults, published, types, written
from tests.support import ApiClient


def test_put_replaces_everything(seller: ApiClient, deals: Deals) -> None:
    old = deals(discount={"type": "flat", "amount": 1})
    path = f"{DEALS}/{old['id']}"

    answer = seller.put(
        path, body(name="Other", total_price=7, currency="JPY", items=[{"name": "x", "price": 1}])
    )

    new = answer.json()
    assert answer.status_code == 200
    assert written(new) == {
        "name": "Other",
        "total_price": 7,
        "currency": "JPY",
        "status": "available",
        "discount": None,
        "items": [{"id": new["items"][0]["id"], "name": "x", "price": 1}],
    }
    assert (new["final_price"], new["version"]) == (7, 2)
    assert new["updated_at"] > old["updated_at"]
    assert answer.headers["ETag"] == '"2"'
    assert seller.get(path).json() == new


def test_put_with_every_kind_of_nested_change(seller: ApiClient, deals: Deals) -> None:
    names = ("kept", "altered", "removed", "first moved", "second moved")
    old = deals(items=[{"name": name, "price": 5} for name in names])
    kept, altered, removed, first, second = old["items"]
    added = {"name": "added", "price": 6}

    sent = [kept, {**altered, "price": 7}, second, first, added]
    new = seller.put(f"{DEALS}/{old['id']}", body(items=sent)).json()

    assert [{**item, "id": None} for item in new["items"]] == [
        {**item, "id": None} for item in sent
    ]
    assert [item["id"] for item in new["items"][:4]] == [
        item["id"] for item in (kept, altered, second, first)
    ]
    changes = published(old["id"])[-1]["data"]["changes"]
    assert changes == {
        "items": [
            [
                {**altered, "position": 1},
                {**removed, "position": 2},
                {**first, "position": 3},
                {**second, "position": 4},
            ],
            [
                {**altered, "price": 7, "position": 1},
                {**second, "position": 2},
                {**first, "position": 3},
                {**new["items"][4], "position": 4},
            ],
        ]
    }


def test_what_was_read_can_be_put_back(seller: ApiClient, deals: Deals) -> None:
    deal = deals(discount={"type": "percentage", "amount": 3})

    answer = seller.put(f"{DEALS}/{deal['id']}", deal)

    assert answer.status_code == 200
    assert answer.json() == deal
    assert types(deal["id"]) == ["deal.created"]
    assert DealHistory.objects.count() == 1


@pytest.mark.parametrize("changes", [{}, {"total_price": 10_000}, {"status": "available"}])
def test_patch_that_changes_nothing_is_no_event(
    seller: ApiClient, deals: Deals, changes: dict[str, Any]
) -> None:
    deal = deals()

    assert seller.patch(f"{DEALS}/{deal['id']}", changes).json() == deal
    assert types(deal["id"]) == ["deal.created"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"total_price": 2_000},
            {"total_price": [10_000, 2_000], "final_price": [9_000, 1_800]},
        ),
        (
            {"discount": {"type": "flat", "amount": 1_000}},
            {"discount": [{"type": "percentage", "amount": 10}, {"type": "flat", "amount": 1_000}]},
        ),
        (
            {"discount": None},
            {
                "discount": [{"type": "percentage", "amount": 10}, None],
                "final_price": [9_000, 10_000],
            },
        ),
        ({"name": "Other"}, {"name": ["Twelve chairs", "Other"]}),
        ({"currency": "USD"}, {"currency": ["EUR", "USD"]}),
    ],
)
def test_patch_changes_what_is_sent_and_says_so(
    seller: ApiClient, deals: Deals, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    old = deals(discount={"type": "percentage", "amount": 10})

    new = seller.patch(f"{DEALS}/{old['id']}", changes).json()

    event = published(old["id"])[-1]
    assert (event["type"], event["data"]) == ("deal.updated", {"object": new, "changes": expected})
    assert new["version"] == 2
    assert DealHistory.objects.get(type="deal.updated").changes == expected
    assert {**old, **{name: pair[1] for name, pair in expected.items()}} == {
        **new,
        "version": 1,
        "updated_at": old["updated_at"],
    }


def test_patched_items_must_be_whole(seller: ApiClient, deals: Deals) -> None:
    deal = deals()

    answer = seller.patch(f"{DEALS}/{deal['id']}", {"items": [{"id": deal["items"][0]["id"]}]})

    assert faults(answer) == {"/items/0/name": "required", "/items/0/price": "required"}


def test_item_of_another_deal_is_refused_at_its_place(seller: ApiClient, deals: Deals) -> None:
    other, deal = deals(), deals()
    foreign, own = other["items"][0], deal["items"][0]
    unknown = {"id": str(uuid4()), "name": "x", "price": 1}

    answer = seller.put(f"{DEALS}/{deal['id']}", body(items=[own, foreign, unknown, own]))

    assert faults(answer) == {
        "/items/1/id": "unknown_item",
        "/items/2/id": "unknown_item",
        "/items/3/id": "duplicate_item",
    }
    assert seller.get(f"{DEALS}/{other['id']}").json() == other
    assert seller.get(f"{DEALS}/{deal['id']}").json() == deal
    assert types(deal["id"]) == ["deal.created"]


def test_price_below_the_present_flat_discount_is_refused_where_it_stands(
    seller: ApiClient, deals: Deals
) -> None:
    deal = deals(discount={"type": "flat", "amount": 500})
    path = f"{DEALS}/{deal['id']}"

    assert faults(seller.patch(path, {"total_price": 499})) == {
        "/total_price": "discount_above_total"
    }
    both = {"total_price": 499, "discount": {"type": "flat", "amount": 500}}
    assert faults(seller.patch(path, both)) == {"/discount/amount": "discount_above_total"}
    assert seller.patch(path, {"total_price": 500}).json()["final_price"] == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("final_price", 1),
        ("version", 9),
        ("seller", "me"),
        ("id", "x"),
        ("created_at", None),
        ("updated_at", 1),
    ],
)
def test_read_only_fields_cannot_be_changed(
    seller: ApiClient, deals: Deals, field: str, value: Any
) -> None:
    deal = deals()

    assert faults(seller.patch(f"{DEALS}/{deal['id']}", {field: value})) == {
        f"/{field}": "read_only"
    }


@pytest.mark.parametrize(
    ("status", "type"), [("sold", "deal.sold"), ("withdrawn", "deal.withdrawn")]
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_closing_with_other_changes_is_one_event(
    seller: ApiClient, deals: Deals, method: str, status: str, type: str
) -> None:
    deal = deals()

    new = seller.request(
        method, f"{DEALS}/{deal['id']}", {**written(deal), "status": status, "total_price": 5}
    ).json()

    assert (new["status"], new["total_price"], new["version"]) == (status, 5, 2)
    assert types(deal["id"]) == ["deal.created", type]
    assert published(deal["id"])[-1]["data"]["changes"] == {
        "status": ["available", status],
        "total_price": [10_000, 5],
        "final_price": [10_000, 5],
    }


def test_delete_withdraws_and_the_deal_stays_readable(
    seller: ApiClient, buyer: ApiClient, authorized: str, deals: Deals
) -> None:
    deal = deals()
    path = f"{DEALS}/{deal['id']}"

    answer = seller.delete(path)

    assert (answer.status_code, answer.content) == (204, b"")
    for client in (seller, buyer):
        assert client.get(path).json()["status"] == "withdrawn"
    assert types(deal["id"]) == ["deal.created", "deal.withdrawn"]
    assert published(deal["id"])[-1]["data"]["changes"] == {"status": ["available", "withdrawn"]}


@pytest.mark.parametrize("status", ["sold", "withdrawn"])
def test_closed_deal_refuses_every_edit(seller: ApiClient, deals: Deals, status: str) -> None:
    deal = deals()
    path = f"{DEALS}/{deal['id']}"
    closed = seller.patch(path, {"status": status}).json()
    events = Event.objects.count()

    answers = [
        seller.put(path, body()),
        seller.put(path, closed),
        seller.patch(path, {"name": "Other"}),
        seller.patch(path, {"status": "available"}),
        seller.patch(path, {"status": status}),
        seller.patch(path, {}),
        seller.patch(path, {"name": "Other"}, headers={"If-Match": '"1"'}),
        seller.delete(path),
    ]

    assert [(one.status_code, one.json()["code"]) for one in answers] == [(409, "deal_closed")] * 8
    assert seller.get(path).json() == closed
    assert Event.objects.count() == events


def test_if_match_lets_only_the_present_version_be_written(seller: ApiClient, deals: Deals) -> None:
    deal = deals()
    path = f"{DEALS}/{deal['id']}"
    stale, fresh = {"If-Match": '"1"'}, {"If-Match": '"2"'}
    assert seller.patch(path, {"name": "Two"}, headers=stale).status_code == 200

    refused = [
        seller.put(path, body(), headers=stale),
        seller.put(path, deal, headers=stale),
        seller.patch(path, {"name": "Three"}, headers=stale),
        seller.delete(path, headers=stale),
    ]

    assert [(one.status_code, one.json()["code"]) for one in refused] == [
        (412, "stale_version")
    ] * 4
    assert seller.get(path).json()["name"] == "Two"
    assert seller.delete(path, headers=fresh).status_code == 204


def test_get_is_304_until_the_deal_changes(
    seller: ApiClient, buyer: ApiClient, authorized: str, deals: Deals
) -> None:
    path = f"{DEALS}/{deals()['id']}"
    tag = {"If-None-Match": buyer.get(path).headers["ETag"]}

    assert buyer.get(path, headers=tag).status_code == 304
    seller.patch(path, {"name": "Other"})
    assert buyer.get(path, headers=tag).json()["name"] == "Other"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("sent", [[], "x", 1, None, [body()]])
def test_body_that_is_no_object_is_400(
    seller: ApiClient, deals: Deals, method: str, sent: Any
) -> None:
    deal = deals()

    answer = seller.request(method, f"{DEALS}/{deal['id']}", sent)

    assert answer.status_code == 400 or (method, sent) == ("PATCH", None)
    assert Deal.objects.get().version == 1
