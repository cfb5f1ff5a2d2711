"""Auctions: bidding, and how they end."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models.functions import Now

from apps.deals.models import Bid, DealHistory, Invoice
from apps.deals.selectors.deals import visible_deal
from apps.deals.services import auctions, invoices
from tests.deals.support import (
    BIDS,
    DEALS,
    Deals,
    auction,
    body,
    end_auction,
    faults,
    place,
    published,
    refused,
    seen,
    status_of,
    step,
    types,
    written,
)
from tests.support import ApiClient, run_jobs


def test_auction_is_read_as_it_was_written(
    seller: ApiClient, bidder: ApiClient, deals: Deals
) -> None:
    terms = auction(reserve=500, buy_now=900, extension_seconds=60)

    deal = deals(auction=terms)

    assert deal["auction"] == terms
    assert (deal["best_bid"], deal["reserve_met"]) == (None, False)
    shown = seen(bidder, deal)
    assert shown["auction"] == {name: terms[name] for name in terms if name != "reserve"}
    (event,) = published(deal["id"])
    assert event["data"]["object"] == shown
    again = seller.put(f"{DEALS}/{deal['id']}", {**written(deal), "auction": deal["auction"]})
    assert again.json() == deal


def test_plain_bids_raise_the_price_by_the_increment_at_least(
    bidder: ApiClient, rival: ApiClient, deals: Deals
) -> None:
    deal = deals(auction=auction())
    path = f"{DEALS}/{deal['id']}/bids"

    assert refused(bidder.post(path, {"amount": 99}), 409, "bid_too_low")
    first = place(bidder, deal, 100)
    low = rival.post(path, {"amount": 109})
    assert refused(low, 409, "bid_too_low")
    assert low.json()["errors"][0]["minimum"] == 110
    second = place(rival, deal, 110)

    assert (first["amount"], first["leading"]) == (100, True)
    assert (second["amount"], second["leading"]) == (110, True)
    assert seen(bidder, deal)["best_bid"] == 110
    read = bidder.get(f"{BIDS}/{first['id']}").json()
    assert (read["status"], read["leading"]) == ("active", False)
    assert types(first["id"]) == ["bid.placed", "bid.outbid"]
    assert types(second["id"]) == ["bid.placed"]


def test_a_maximum_bids_for_its_bidder(
    seller: ApiClient, bidder: ApiClient, rival: ApiClient, deals: Deals
) -> None:
    deal = deals(auction=auction())
    proxy = place(bidder, deal, 100, maximum=500)
    assert (proxy["amount"], proxy["maximum"]) == (100, 500)

    beaten = place(rival, deal, 300)

    assert (beaten["leading"], beaten["amount"]) == (False, 300)
    leading = bidder.get(f"{BIDS}/{proxy['id']}").json()
    assert (leading["leading"], leading["amount"], leading["maximum"]) == (True, 310, 500)
    assert seen(rival, deal)["best_bid"] == 310
    assert "500" not in str(seller.get(f"{DEALS}/{deal['id']}/bids").json()["results"][1]["amount"])

    winner = place(rival, deal, 320, maximum=600)
    assert (winner["leading"], winner["amount"]) == (True, 510)
    assert types(proxy["id"]) == ["bid.placed", "bid.outbid"]
    assert published(proxy["id"])[-1]["data"]["object"]["amount"] == 500
    assert "maximum" not in str(published(proxy["id"]) + published(winner["id"]))


def test_the_leader_raises_its_maximum_without_paying_more(
    bidder: ApiClient, rival: ApiClient, deals: Deals
) -> None:
    deal = deals(auction=auction())
    place(bidder, deal, 200, maximum=300)
    path = f"{DEALS}/{deal['id']}/bids"

    same = bidder.post(path, {"amount": 100, "maximum": 300})
    assert refused(same, 409, "bid_too_low")
    raised = place(bidder, deal, 100, maximum=800)

    assert (raised["amount"], raised["leading"]) == (200, True)
    assert place(rival, deal, 700)["leading"] is False
    assert seen(rival, deal)["best_bid"] == 710


def test_bids_in_an_auction_are_binding(seller: ApiClient, bidder: ApiClient, deals: Deals) -> None:
    deal = deals(auction=auction())
    bid = place(bidder, deal, 100)

    assert refused(bidder.post(f"{BIDS}/{bid['id']}/withdraw"), 409, "auction_running")
    countered = seller.post(f"{BIDS}/{bid['id']}/counter", {"amount": 200})
    assert refused(countered, 409, "auction_running")
    lapsing = bidder.post(
        f"{DEALS}/{deal['id']}/bids", {"amount": 200, "expires_at": "2100-01-01T00:00:00Z"}
    )
    assert faults(lapsing) == {"/expires_at": "not_in_auction"}
    crossed = bidder.post(f"{DEALS}/{deal['id']}/bids", {"amount": 200, "maximum": 150})
    assert faults(crossed) == {"/maximum": "below_amount"}


def test_seller_may_sell_to_the_leading_bid_before_the_end(
    seller: ApiClient, bidder: ApiClient, rival: ApiClient, deals: Deals
) -> None:
    deal = deals(auction=auction(reserve=900))
    low, high = place(bidder, deal, 100), place(rival, deal, 200, maximum=300)

    assert refused(seller.post(f"{BIDS}/{low['id']}/accept"), 409, "auction_running")
    assert step(seller, high, "accept")["amount"] == 200

    assert status_of(bidder, low) == "rejected"
    assert Invoice.objects.get(deal=deal["id"]).net_amount == 200


def test_seller_may_reject_a_bidder_of_an_auction(
    seller: ApiClient, bidder: ApiClient, rival: ApiClient, deals: Deals
) -> None:
    deal = deals(auction=auction())
    proxy, high = place(bidder, deal, 100, maximum=300), place(rival, deal, 400)
    assert seen(bidder, deal)["best_bid"] == 400

    step(seller, high, "reject")

    assert seen(bidder, deal)["best_bid"] == 100
    assert bidder.get(f"{BIDS}/{proxy['id']}").json()["leading"] is True


def test_end_sells_to_the_leading_bid(
    seller: ApiClient, bidder: ApiClient, rival: ApiClient, deals: Deals
) -> None:
    deal = deals(auction=auction())
    lost, won = place(bidder, deal, 250), place(rival, deal, 260, maximum=500)
    end_auction(deal)

    late = bidder.post(f"{DEALS}/{deal['id']}/bids", {"amount": 1_000})
    assert refused(late, 409, "auction_ended")
    assert (auctions.close_auctions(), auctions.close_auctions()) == (1, 0)

    assert (status_of(seller, won), status_of(seller, lost)) == ("accepted", "rejected")
    assert seen(seller, deal)["status"] == "sold"
    assert types(deal["id"])[-1] == "deal.sold"
    assert types(won["id"]) == ["bid.placed", "bid.accepted"]
    assert types(lost["id"]) == ["bid.placed", "bid.outbid", "bid.rejected"]
    invoice = Invoice.objects.get(deal=deal["id"])
    assert (invoice.net_amount, invoice.buyer_id) == (260, rival.account.id)
    entry = DealHistory.objects.filter(deal=deal["id"]).last()
    assert entry is not None
    assert entry.actor == {"kind": "system", "id": auctions.CLOSE, "label": auctions.CLOSE}


@pytest.mark.parametrize(("maximum", "is_sold"), [(499, False), (500, True), (800, True)])
def test_reserve_must_be_met(
    seller: ApiClient, bidder: ApiClient, deals: Deals, maximum: int, is_sold: bool
) -> None:
    deal = deals(auction=auction(reserve=500))
    bid = place(bidder, deal, 100, maximum=maximum)
    shown = seen(bidder, deal)
    assert (shown["best_bid"], shown["reserve_met"]) == (500 if is_sold else 100, is_sold)
    end_auction(deal)

    assert auctions.close_auctions() == 1

    closed = seen(seller, deal)
    assert closed["status"] == ("sold" if is_sold else "withdrawn")
    assert status_of(bidder, bid) == ("accepted" if is_sold else "expired")
    assert types(bid["id"])[-1] == ("bid.accepted" if is_sold else "bid.expired")
    assert types(deal["id"])[-1] == ("deal.sold" if is_sold else "deal.withdrawn")
    assert Invoice.objects.count() == is_sold


def test_end_without_a_bid_withdraws(seller: ApiClient, deals: Deals) -> None:
    deal = deals(auction=auction())
    end_auction(deal)

    assert auctions.close_auctions() == 1

    assert seen(seller, deal)["status"] == "withdrawn"
    event = published(deal["id"])[-1]
    assert (event["type"], event["data"]["changes"]) == (
        "deal.withdrawn",
        {"status": ["available", "withdrawn"]},
    )


def test_buying_now_sells_at_once(
    seller: ApiClient, bidder: ApiClient, rival: ApiClient, deals: Deals
) -> None:
    deal = deals(auction=auction(buy_now=900))
    proxy = place(rival, deal, 100, maximum=10_000)
    assert proxy["maximum"] == 900

    bought = place(bidder, deal, 950)

    assert (bought["status"], bought["amount"]) == ("accepted", 900)
    assert status_of(rival, proxy) == "rejected"
    assert types(bought["id"]) == ["bid.accepted"]
    assert Invoice.objects.get(deal=deal["id"]).net_amount == 900


def test_a_price_that_reaches_buying_now_sells_to_the_leader(
    bidder: ApiClient, rival: ApiClient, deals: Deals
) -> None:
    deal = deals(auction=auction(buy_now=900))
    first = place(bidder, deal, 100, maximum=900)

    second = place(rival, deal, 200, maximum=895)

    assert (second["status"], status_of(bidder, first)) == ("rejected", "accepted")
    assert Invoice.objects.get(deal=deal["id"]).net_amount == 900
    assert types(second["id"]) == ["bid.placed", "bid.rejected"]


def test_a_late_bid_puts_the_end_off(
    seller: ApiClient, bidder: ApiClient, rival: ApiClient, deals: Deals
) -> None:
    deal = deals(auction=auction(seconds=600, extension_seconds=60))
    place(bidder, deal, 100)
    assert seen(seller, deal)["auction"] == deal["auction"]
    deal = deals(auction=auction(seconds=30, extension_seconds=3_600))

    bid = place(bidder, deal, 100)

    extended = seen(bidder, deal)
    ends_at = datetime.fromisoformat(extended["auction"]["ends_at"])
    assert ends_at == datetime.fromisoformat(bid["created_at"]) + timedelta(hours=1)
    assert extended["version"] == 2
    event = published(deal["id"])[-1]
    assert event["type"] == "deal.updated"
    assert list(event["data"]["changes"]) == ["auction"]
    assert event["data"]["object"] == extended


def test_auction_stays_as_it_is_while_there_are_bids(
    seller: ApiClient, bidder: ApiClient, deals: Deals
) -> None:
    deal = deals(auction=auction())
    path = f"{DEALS}/{deal['id']}"
    later = {**deal["auction"], "minimum": 50, "reserve": 300}
    assert seller.patch(path, {"auction": later, "name": "Other"}).status_code == 200
    bid = place(bidder, deal, 50)

    for changes in (
        {"auction": None},
        {"auction": deal["auction"]},
        {"name": "x"},
        {"items": [{"name": "x", "price": 1}]},
    ):
        assert refused(seller.patch(path, changes), 409, "deal_has_bids")
    assert seller.patch(path, {"name": "Other"}).status_code == 200  # no change

    step(seller, bid, "reject")
    assert seller.patch(path, {"auction": None}).json()["auction"] is None


def test_a_deal_with_bids_becomes_no_auction(
    seller: ApiClient, bidder: ApiClient, deals: Deals
) -> None:
    deal = deals()
    place(bidder, deal, 100)

    answer = seller.patch(f"{DEALS}/{deal['id']}", {"auction": auction()})

    assert refused(answer, 409, "deal_has_bids")


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"auction": {}}, {"/auction/ends_at", "/auction/minimum", "/auction/increment"}),
        ({"auction": auction(-60)}, {"/auction/ends_at"}),
        ({"auction": auction(minimum=0)}, {"/auction/minimum"}),
        ({"auction": auction(increment=0)}, {"/auction/increment"}),
        ({"auction": auction(reserve=99)}, {"/auction/reserve"}),
        ({"auction": auction(buy_now=99)}, {"/auction/buy_now"}),
        ({"auction": auction(reserve=300, buy_now=200)}, {"/auction/buy_now"}),
        ({"auction": auction(extension_seconds=-1)}, {"/auction/extension_seconds"}),
        ({"auction": auction(extension_seconds=86_401)}, {"/auction/extension_seconds"}),
        ({"auction": auction(colour="red")}, {"/auction/colour"}),
        ({"auction": auction(), "auto_accept_at": 5}, {"/auto_accept_at"}),
        ({"auction": auction(), "auto_reject_below": 5}, {"/auto_reject_below"}),
        ({"auction": []}, {"/auction"}),
        ({"auction": {**auction(), "ends_at": "soon"}}, {"/auction/ends_at"}),
        ({"auction": {**auction(), "ends_at": "9999-12-31T23:59:59-14:00"}}, {"/auction/ends_at"}),
    ],
)
def test_terms_have_bounds(seller: ApiClient, fields: dict[str, Any], found: set[str]) -> None:
    assert faults(seller.post(DEALS, body(**fields))).keys() == found


def test_an_auction_that_cannot_be_closed_keeps_no_other_open(
    seller: ApiClient, bidder: ApiClient, deals: Deals
) -> None:
    stuck, fine = deals(auction=auction()), deals(auction=auction())
    bids = [place(bidder, deal, 100) for deal in (stuck, fine)]
    strange = invoices.compose(
        deal=visible_deal(seller.account.id, UUID(stuck["id"])),
        seller=seller.account,
        buyer=bidder.account,
        amount=1,
        at=datetime.now(UTC),
    )
    strange.number = 999
    strange.save(force_insert=True)  # of a deal that is not sold yet: the sale cannot be invoiced
    end_auction(stuck)
    end_auction(fine)

    assert auctions.close_auctions() == 1

    assert [status_of(seller, bid) for bid in bids] == ["active", "accepted"]
    assert seen(seller, stuck)["status"] == "available"


@pytest.mark.django_db(transaction=True)
def test_jobs_close_auctions_and_expire_bids(
    seller: ApiClient, bidder: ApiClient, deals: Deals
) -> None:
    over, running, plain = deals(auction=auction()), deals(auction=auction()), deals()
    bid = place(bidder, plain, 100, expires_at="2100-01-01T00:00:00Z")
    end_auction(over)
    Bid.objects.filter(pk=bid["id"]).update(expires_at=Now() - timedelta(seconds=1))

    run_jobs()

    assert seen(seller, over)["status"] == "withdrawn"
    assert seen(seller, running)["status"] == "available"
    assert status_of(bidder, bid) == "expired"
