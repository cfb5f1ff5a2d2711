"""Bids outside of auctions: placed, raised, taken back, answered, expired."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from apps.deals.models import Bid, DealHistory, Invoice
from apps.deals.services.bids import expire_bids
from apps.events.models import Event
from tests.deals.conftest import MakeBidder
from tests.deals.support import (
    AUTHORIZATIONS,
    BIDS,
    DEALS,
    Deals,
    faults,
    ids,
    place,
    published,
    refused,
    seen,
    status_of,
    step,
    types,
)
from tests.support import ApiClient, wait_until


def test_bid_is_answered_as_it_is_read_afterwards(bidder: ApiClient, deals: Deals) -> None:
    deal = deals()

    answer = bidder.post(f"{DEALS}/{deal['id']}/bids", {"amount": 9_000})

    bid = answer.json()
    assert answer.status_code == 201
    assert bid == {
        "id": bid["id"],
        "deal": deal["id"],
        "bidder": str(bidder.account.id),
        "status": "active",
        "amount": 9_000,
        "currency": "EUR",
        "leading": True,
        "counter_amount": None,
        "maximum": 9_000,
        "supersedes": None,
        "expires_at": None,
        "version": 1,
        "created_at": bid["created_at"],
        "updated_at": bid["created_at"],
    }
    read = bidder.get(answer.headers["Location"])
    assert read.json() == bid
    assert read.headers["ETag"] == answer.headers["ETag"]
    tag = {"If-None-Match": read.headers["ETag"]}
    assert bidder.get(f"{BIDS}/{bid['id']}", headers=tag).status_code == 304


def test_seller_and_bidder_hear_of_a_bid(
    seller: ApiClient, bidder: ApiClient, deals: Deals
) -> None:
    bid = place(bidder, deals(), 9_000)

    (event,) = published(bid["id"])

    assert event["type"] == "bid.placed"
    assert event["account_id"] == str(seller.account.id)
    assert event["data"] == {
        "object": {name: value for name, value in bid.items() if name != "maximum"}
    }
    stored = Event.objects.get(subject=bid["id"])
    assert (stored.readers, stored.channel_id) == ([bidder.account.id], None)


def test_next_bid_takes_the_place_of_the_earlier_one(bidder: ApiClient, deals: Deals) -> None:
    deal = deals()
    first = place(bidder, deal, 9_000)

    second = place(bidder, deal, 9_500)

    assert second["supersedes"] == first["id"]
    assert (status_of(bidder, first), status_of(bidder, second)) == ("superseded", "active")
    assert types(first["id"]) == types(second["id"]) == ["bid.placed"]
    assert seen(bidder, deal)["best_bid"] == 9_500


def test_buyers_see_their_own_bids_and_the_best_amount(
    seller: ApiClient, bidder: ApiClient, rival: ApiClient, deals: Deals
) -> None:
    deal = deals()
    low, high = place(bidder, deal, 8_000), place(rival, deal, 9_000)
    path = f"{DEALS}/{deal['id']}/bids"

    assert ids(seller.get(path)) == [high["id"], low["id"]]
    assert ids(bidder.get(path)) == ids(bidder.get(BIDS)) == [low["id"]]
    assert ids(rival.get(path)) == ids(rival.get(BIDS)) == [high["id"]]
    assert {seen(client, deal)["best_bid"] for client in (seller, bidder, rival)} == {9_000}
    assert seller.get(f"{BIDS}/{low['id']}").json()["leading"] is False
    assert seller.get(f"{BIDS}/{high['id']}").json()["leading"] is True
    assert bidder.get(f"{BIDS}/{high['id']}").status_code == 404


def test_maximum_is_shown_to_the_bidder_alone(
    seller: ApiClient, bidder: ApiClient, deals: Deals
) -> None:
    deal = deals()
    bid = place(bidder, deal, 8_000)

    assert "maximum" in bidder.get(f"{BIDS}/{bid['id']}").json()
    assert "maximum" not in seller.get(f"{BIDS}/{bid['id']}").json()
    (listed,) = seller.get(f"{DEALS}/{deal['id']}/bids").json()["results"]
    assert "maximum" not in listed


def test_status_filters_lists(seller: ApiClient, bidder: ApiClient, deals: Deals) -> None:
    deal = deals()
    first, second = place(bidder, deal, 8_000), place(bidder, deal, 9_000)
    path = f"{DEALS}/{deal['id']}/bids"

    assert ids(seller.get(path, status="active")) == [second["id"]]
    assert ids(bidder.get(BIDS, status="superseded")) == [first["id"]]
    assert ids(bidder.get(BIDS, status="rejected")) == []
    assert bidder.get(BIDS, status="lost").status_code == 400


def test_best_bid_changes_the_etag_of_the_deal(bidder: ApiClient, deals: Deals) -> None:
    deal = deals()
    tag = bidder.get(f"{DEALS}/{deal['id']}").headers["ETag"]

    place(bidder, deal, 1)

    assert seen(bidder, deal)["version"] == 1
    again = bidder.get(f"{DEALS}/{deal['id']}", headers={"If-None-Match": tag})
    assert again.status_code == 200


def test_accepting_sells_rejects_the_others_and_invoices(
    seller: ApiClient, bidder: ApiClient, make_bidder: MakeBidder, deals: Deals
) -> None:
    deal = deals()
    others = [place(make_bidder(), deal, 9_000 + number) for number in range(3)]
    withdrawn = place(client := make_bidder(), deal, 1)
    step(client, withdrawn, "withdraw")
    bid = place(bidder, deal, 8_000)

    accepted = step(seller, bid, "accept")

    assert accepted["status"] == "accepted"
    assert [status_of(seller, one) for one in (bid, *others)] == ["accepted"] + ["rejected"] * 3
    assert status_of(seller, withdrawn) == "withdrawn"
    sold = seen(seller, deal)
    assert (sold["status"], sold["version"], sold["best_bid"]) == ("sold", 2, None)
    assert types(bid["id"]) == ["bid.placed", "bid.accepted"]
    assert [types(one["id"]) for one in others] == [["bid.placed", "bid.rejected"]] * 3
    assert types(withdrawn["id"]) == ["bid.placed", "bid.withdrawn"]
    event = published(deal["id"])[-1]
    assert event["type"] == "deal.sold"
    assert event["data"] == {"object": sold, "changes": {"status": ["available", "sold"]}}
    invoice = Invoice.objects.get(deal=deal["id"])
    assert (invoice.buyer_id, invoice.net_amount) == (bidder.account.id, 8_000)
    entry = DealHistory.objects.filter(deal=deal["id"]).last()
    assert entry is not None
    assert entry.type == "deal.sold"


@pytest.mark.parametrize("name", ["accept", "counter", "reject", "withdraw"])
@pytest.mark.parametrize("end", ["accept", "reject", "withdraw"])
def test_what_is_over_takes_no_step(
    seller: ApiClient, bidder: ApiClient, deals: Deals, end: str, name: str
) -> None:
    bid = place(bidder, deals(), 8_000)
    step(bidder if end == "withdraw" else seller, bid, end)
    events = Event.objects.count()

    client = bidder if name == "withdraw" else seller
    answer = client.post(f"{BIDS}/{bid['id']}/{name}", {"amount": 1} if name == "counter" else None)

    assert refused(answer, 409, "bid_not_active")
    assert Event.objects.count() == events


def test_superseded_bid_cannot_be_accepted(
    seller: ApiClient, bidder: ApiClient, deals: Deals
) -> None:
    deal = deals()
    first = place(bidder, deal, 8_000)
    place(bidder, deal, 7_000)

    assert refused(seller.post(f"{BIDS}/{first['id']}/accept"), 409, "bid_not_active")
    assert seen(seller, deal)["best_bid"] == 7_000


def test_withdrawn_and_rejected_bids_leave_the_next_best(
    seller: ApiClient, make_bidder: MakeBidder, deals: Deals
) -> None:
    deal = deals()
    clients = [make_bidder() for _ in range(3)]
    bids = [place(client, deal, 100 * n) for n, client in enumerate(clients, start=1)]

    step(clients[2], bids[2], "withdraw")
    assert seen(seller, deal)["best_bid"] == 200
    step(seller, bids[1], "reject")
    assert seen(seller, deal)["best_bid"] == 100
    step(seller, bids[0], "counter", amount=150)
    assert seen(seller, deal)["best_bid"] is None


def test_counter_is_taken_by_bidding_it(
    seller: ApiClient, bidder: ApiClient, rival: ApiClient, deals: Deals
) -> None:
    deal = deals()
    bid, other = place(bidder, deal, 8_000), place(rival, deal, 8_500)

    countered = step(seller, bid, "counter", amount=9_000)

    assert (countered["status"], countered["counter_amount"]) == ("countered", 9_000)
    assert types(bid["id"]) == ["bid.placed", "bid.countered"]
    assert place(rival, deal, 9_000)["status"] == "active"  # it was not countered to this one
    taken = place(bidder, deal, 9_000)
    assert (taken["status"], taken["supersedes"]) == ("accepted", bid["id"])
    assert types(taken["id"]) == ["bid.accepted"]
    assert seen(seller, deal)["status"] == "sold"
    assert (status_of(bidder, bid), status_of(rival, other)) == ("superseded", "superseded")
    assert Invoice.objects.get(deal=deal["id"]).net_amount == 9_000


def test_another_bid_than_the_counter_goes_on(
    seller: ApiClient, bidder: ApiClient, deals: Deals
) -> None:
    deal = deals()
    bid = place(bidder, deal, 8_000)
    step(seller, bid, "counter", amount=9_000)

    assert place(bidder, deal, 8_999)["status"] == "active"
    assert place(bidder, deal, 9_000)["status"] == "active"  # the counter is gone by now


def test_counter_can_be_declined_and_taken_back(
    seller: ApiClient, bidder: ApiClient, deals: Deals
) -> None:
    deal = deals()
    first = step(seller, place(bidder, deal, 8_000), "counter", amount=9_000)
    assert refused(seller.post(f"{BIDS}/{first['id']}/accept"), 409, "bid_not_active")
    assert step(bidder, first, "withdraw")["status"] == "withdrawn"

    second = step(seller, place(bidder, deal, 8_000), "counter", amount=9_000)
    assert step(seller, second, "reject")["status"] == "rejected"
    assert place(bidder, deal, 9_000)["status"] == "active"


def test_thresholds_answer_at_once(
    seller: ApiClient, bidder: ApiClient, rival: ApiClient, deals: Deals
) -> None:
    deal = deals(auto_accept_at=9_500, auto_reject_below=5_000)

    low = place(bidder, deal, 4_999)
    kept = place(rival, deal, 5_000)
    high = place(bidder, deal, 9_500)

    assert [low["status"], kept["status"], high["status"]] == ["rejected", "active", "accepted"]
    assert types(low["id"]) == ["bid.rejected"]
    assert types(kept["id"]) == ["bid.placed", "bid.rejected"]
    assert types(high["id"]) == ["bid.accepted"]
    assert seen(bidder, deal)["status"] == "sold"
    assert Invoice.objects.get(deal=deal["id"]).net_amount == 9_500


def test_thresholds_are_the_sellers_alone(
    seller: ApiClient, bidder: ApiClient, deals: Deals
) -> None:
    deal = deals(auto_accept_at=9_500, auto_reject_below=5_000)
    path = f"{DEALS}/{deal['id']}"

    changed = seller.patch(path, {"auto_accept_at": 9_400})
    assert changed.json()["auto_accept_at"] == 9_400
    assert changed.json()["version"] == 2
    seller.patch(path, {"name": "Renamed"})

    assert seen(seller, deal)["auto_reject_below"] == 5_000
    assert "auto_" not in str(bidder.get(DEALS).json()) + str(seen(bidder, deal))
    told = published(deal["id"])
    assert [one["type"] for one in told] == ["deal.created", "deal.updated"]  # nothing of 9,400
    assert "auto_" not in str(told)
    assert DealHistory.objects.filter(deal=deal["id"]).count() == 3
    put = {**{n: deal[n] for n in ("name", "total_price", "currency", "items")}}
    assert "auto_accept_at" not in seller.put(path, put).json()


@pytest.mark.parametrize(
    ("terms", "pointer", "code"),
    [
        (
            {"auto_accept_at": 10, "auto_reject_below": 11},
            "/auto_reject_below",
            "thresholds_crossed",
        ),
        ({"auto_accept_at": -1}, "/auto_accept_at", "min_value"),
        ({"auto_reject_below": "1"}, "/auto_reject_below", "invalid"),
    ],
)
def test_thresholds_have_bounds(
    seller: ApiClient, deals: Deals, terms: dict[str, Any], pointer: str, code: str
) -> None:
    answer = seller.patch(f"{DEALS}/{deals()['id']}", terms)

    assert faults(answer) == {pointer: code}


def test_many_are_rejected_at_once(
    seller: ApiClient, make_bidder: MakeBidder, deals: Deals
) -> None:
    deal = deals()
    clients = [make_bidder() for _ in range(5)]
    bids = [place(client, deal, 100 * n) for n, client in enumerate(clients, start=1)]
    path = f"{DEALS}/{deal['id']}/bids/reject"
    step(clients[4], bids[4], "withdraw")

    assert seller.post(path, {"below": 300}).json() == {"rejected": 2}
    assert seller.post(path, {"ids": [bids[1]["id"], bids[3]["id"]]}).json() == {"rejected": 1}

    states = [status_of(seller, bid) for bid in bids]
    assert states == ["rejected", "rejected", "active", "rejected", "withdrawn"]
    assert types(bids[0]["id"]) == types(bids[3]["id"]) == ["bid.placed", "bid.rejected"]
    assert seen(seller, deal)["best_bid"] == 300


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, {"": "one_of_two"}),
        ({"ids": [], "below": 1}, {"": "one_of_two"}),
        ({"ids": ["01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a66"]}, {"/ids/0": "unknown_bid"}),
        ({"ids": ["x"]}, {"/ids/0": "invalid"}),
        ({"below": -1}, {"/below": "min_value"}),
    ],
)
def test_rejecting_many_needs_one_way_of_naming_them(
    seller: ApiClient, deals: Deals, body: dict[str, Any], found: dict[str, str]
) -> None:
    assert faults(seller.post(f"{DEALS}/{deals()['id']}/bids/reject", body)) == found


@pytest.mark.parametrize("how", ["sold", "withdrawn", "delete"])
def test_closing_a_deal_rejects_its_open_bids(
    seller: ApiClient, bidder: ApiClient, rival: ApiClient, deals: Deals, how: str
) -> None:
    deal = deals()
    active, countered = place(bidder, deal, 8_000), place(rival, deal, 7_000)
    step(seller, countered, "counter", amount=9_000)
    path = f"{DEALS}/{deal['id']}"

    closed = seller.delete(path) if how == "delete" else seller.patch(path, {"status": how})

    assert closed.status_code in (200, 204)
    assert status_of(bidder, active) == status_of(rival, countered) == "rejected"
    assert types(active["id"]) == ["bid.placed", "bid.rejected"]
    assert types(countered["id"]) == ["bid.placed", "bid.countered", "bid.rejected"]
    assert not Invoice.objects.exists()
    again = bidder.post(f"{path}/bids", {"amount": 9_000})
    assert refused(again, 409, "deal_closed")
    assert refused(seller.post(f"{path}/bids/reject", {"below": 9}), 409, "deal_closed")


def test_bids_expire(seller: ApiClient, bidder: ApiClient, rival: ApiClient, deals: Deals) -> None:
    deal = deals()
    lasting = place(rival, deal, 7_000, expires_at="2100-01-01T00:00:00Z")
    bid = place(bidder, deal, 8_000, expires_at="2100-01-01T00:00:00Z")
    Bid.objects.filter(pk=bid["id"]).update(expires_at=Now() - timedelta(seconds=1))

    assert refused(seller.post(f"{BIDS}/{bid['id']}/accept"), 409, "bid_not_active")
    assert expire_bids() == 1
    assert expire_bids() == 0

    assert (status_of(bidder, bid), status_of(rival, lasting)) == ("expired", "active")
    assert types(bid["id"]) == ["bid.placed", "bid.expired"]
    assert seen(seller, deal)["best_bid"] == 7_000


def test_a_bid_whose_time_runs_out_while_others_expire_expires_later(
    bidder: ApiClient, rival: ApiClient, deals: Deals
) -> None:
    deal = deals()
    first, second = (
        place(one, deal, 8_000, expires_at="2100-01-01T00:00:00Z") for one in (bidder, rival)
    )
    Bid.objects.filter(pk=first["id"]).update(expires_at=Now())
    soon = Bid.objects.filter(pk=second["id"])
    soon.update(expires_at=Now() + timedelta(seconds=1))

    def in_time(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith('UPDATE "deals_bid"'):
            wait_until(soon.filter(expires_at__lt=Now()).exists)
        return execute(sql, *rest)

    with connection.execute_wrapper(in_time):
        expired = expire_bids()
    expired += expire_bids()

    assert expired == 2
    assert types(second["id"]) == ["bid.placed", "bid.expired"]


def test_expired_counter_cannot_be_taken(
    seller: ApiClient, bidder: ApiClient, deals: Deals
) -> None:
    deal = deals()
    bid = place(bidder, deal, 8_000, expires_at="2100-01-01T00:00:00Z")
    step(seller, bid, "counter", amount=9_000)
    Bid.objects.filter(pk=bid["id"]).update(expires_at=Now() - timedelta(seconds=1))

    assert place(bidder, deal, 9_000)["status"] == "active"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, {"/amount": "required"}),
        ({"amount": 0}, {"/amount": "min_value"}),
        ({"amount": -5}, {"/amount": "min_value"}),
        ({"amount": 10**15}, {"/amount": "max_value"}),
        ({"amount": "5"}, {"/amount": "invalid"}),
        ({"amount": 5.5}, {"/amount": "invalid"}),
        ({"amount": True}, {"/amount": "invalid"}),
        ({"amount": 5, "maximum": 6}, {"/maximum": "no_auction"}),
        ({"amount": 5, "expires_at": "2001-01-01T00:00:00Z"}, {"/expires_at": "in_the_past"}),
        ({"amount": 5, "expires_at": 7}, {"/expires_at": "invalid"}),
        ({"amount": 5, "bidder": "me"}, {"/bidder": "unknown_field"}),
    ],
)
def test_bids_have_bounds(
    bidder: ApiClient, deals: Deals, body: dict[str, Any], found: dict[str, str]
) -> None:
    assert faults(bidder.post(f"{DEALS}/{deals()['id']}/bids", body)) == found


def test_nobody_bids_on_its_own_deal(api: Any, seller: ApiClient, deals: Deals) -> None:
    both = api("deals:write", "bids:write", account=seller.account)

    answer = both.post(f"{DEALS}/{deals()['id']}/bids", {"amount": 5})

    assert refused(answer, 409, "own_deal")


def test_revoking_rejects_the_buyers_bids(
    seller: ApiClient, bidder: ApiClient, rival: ApiClient, deals: Deals
) -> None:
    one, two = deals(), deals()
    bids = [place(bidder, one, 8_000), place(bidder, two, 8_000)]
    step(seller, bids[1], "counter", amount=9_000)
    other = place(rival, one, 7_000)
    granted = seller.get(AUTHORIZATIONS).json()["results"]
    (mine,) = [each["id"] for each in granted if each["buyer"] == str(bidder.account.id)]

    seller.delete(f"{AUTHORIZATIONS}/{mine}")

    assert [status_of(seller, bid) for bid in (*bids, other)] == ["rejected", "rejected", "active"]
    assert types(bids[0]["id"]) == ["bid.placed", "bid.rejected"]
    assert seen(seller, one)["best_bid"] == 7_000
    assert bidder.get(f"{BIDS}/{bids[0]['id']}").status_code == 404
    assert ids(bidder.get(BIDS)) == []
    again = bidder.post(f"{DEALS}/{one['id']}/bids", {"amount": 8_000})
    assert refused(again, 404, "deal_not_found")


def test_currency_stays_while_there_are_bids(
    seller: ApiClient, bidder: ApiClient, deals: Deals
) -> None:
    deal = deals()
    bid = place(bidder, deal, 8_000)
    path = f"{DEALS}/{deal['id']}"

    assert refused(seller.patch(path, {"currency": "USD"}), 409, "deal_has_bids")
    assert seller.patch(path, {"total_price": 9_000, "name": "Cheaper"}).status_code == 200

    step(bidder, bid, "withdraw")
    assert seller.patch(path, {"currency": "USD"}).status_code == 200


def test_a_retried_bid_is_placed_once(bidder: ApiClient, deals: Deals) -> None:
    path = f"{DEALS}/{deals()['id']}/bids"

    first = bidder.post(path, {"amount": 5}, idempotency_key="a bid")
    again = bidder.post(path, {"amount": 5}, idempotency_key="a bid")

    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert Bid.objects.count() == 1
