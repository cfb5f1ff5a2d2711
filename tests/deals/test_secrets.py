"""What is not for everybody's eyes reaches nobody else, at any address, in the feed or by webhook."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pytest

from tests.architecture.operations import operations
from tests.conftest import MakeClient
from tests.deals.support import AUTHORIZATIONS, BIDS, DEALS, auction, body, place, step
from tests.support import ApiClient, Receiver, run_jobs

pytestmark = pytest.mark.django_db(transaction=True)

SCOPES = ("deals:write", "bids:write", "events:read", "webhooks:write")

RESERVE, MAXIMUM, ACCEPT_AT, REJECT_BELOW = 77_777, 66_666, 88_888, 11


@dataclass
class Market:
    """A seller with an auction and a deal that it has sold, and everybody who might want to know."""

    seller: ApiClient
    winner: ApiClient
    loser: ApiClient
    onlooker: ApiClient
    revoked: ApiClient
    stranger: ApiClient
    receiver: Receiver
    ids: dict[str, str]
    bids: dict[str, list[str]]

    def everything(self, client: ApiClient) -> Iterator[tuple[str, str]]:
        """What a client reads at each address with the market's ids, in the feed and by webhook."""
        for each in operations():
            if each.method == "GET" and not each.path.endswith("/export"):
                answer = client.get(each.url(self.ids))
                yield str(each), answer.content.decode(errors="replace")
        for bid_id in chain.from_iterable(self.bids.values()):
            yield f"bid {bid_id}", client.get(f"{BIDS}/{bid_id}").content.decode()
        for got in self.receiver.at(f"/{client.account.slug}"):
            yield "webhook", got.body.decode()


@pytest.fixture
def market(api: MakeClient, receiver: Receiver) -> Market:
    clients = [api(*SCOPES) for _ in range(6)]
    for client in clients:
        hook = {"url": receiver.url(f"/{client.account.slug}"), "event_types": ["*"]}
        assert client.post("/api/v1/webhook-endpoints", hook).status_code == 201
    seller, winner, loser, onlooker, revoked, stranger = clients
    for client in clients[1:5]:
        granted = seller.post(AUTHORIZATIONS, {"buyer": client.account.slug}).json()

    terms = auction(reserve=RESERVE)
    running = seller.post(DEALS, body(name="Running", auction=terms)).json()
    sold = {"name": "Sold", "auto_accept_at": ACCEPT_AT, "auto_reject_below": REJECT_BELOW}
    sold = seller.post(DEALS, body(**sold)).json()
    seller.patch(f"{DEALS}/{sold['id']}", {"auto_accept_at": ACCEPT_AT + 1, "total_price": 5})
    lost, won = place(loser, sold, 501), place(winner, sold, 502)
    proxy = place(winner, running, 301, maximum=MAXIMUM)
    beaten = place(loser, running, 401)
    gone = place(revoked, running, 451)
    step(seller, won, "accept")
    seller.delete(f"{AUTHORIZATIONS}/{granted['id']}")
    run_jobs()
    (invoice,) = seller.get("/api/v1/invoices").json()["results"]
    events = seller.get("/api/v1/events", types="bid.accepted").json()["results"]
    ids = {
        "deal_id": running["id"],
        "sold_id": sold["id"],
        "bid_id": proxy["id"],
        "invoice_id": invoice["id"],
        "event_id": events[0]["id"],
    }
    bids = {"winner": [won["id"], proxy["id"]], "loser": [lost["id"], beaten["id"]]}
    parties = (seller, winner, loser, onlooker, revoked, stranger)
    return Market(*parties, receiver, ids, {**bids, "revoked": [gone["id"]]})


def found(market: Market, client: ApiClient, *marks: Any) -> set[tuple[str, str]]:
    """Where the client reads any of the marks; what it asked with itself does not count."""
    return {
        (where, str(mark))
        for where, text in market.everything(client)
        for mark in marks
        if str(mark) in text and str(mark) not in where
    }


def test_a_stranger_learns_nothing(market: Market) -> None:
    marks = [
        *market.ids.values(),
        *chain.from_iterable(market.bids.values()),
        market.seller.account.id,
    ]

    assert not found(market, market.stranger, *marks, "Running", "Sold")


def test_one_whose_authorization_was_revoked_reads_no_deal_and_no_bid(market: Market) -> None:
    own = market.bids["revoked"][0]
    assert own in market.revoked.get("/api/v1/events").content.decode()  # it was told of its own

    assert not found(market, market.revoked, "Running", "Sold", market.ids["invoice_id"])
    others = market.bids["winner"] + market.bids["loser"]
    assert not found(market, market.revoked, *others, market.winner.account.id)


def test_an_onlooker_sees_the_deals_and_the_best_amount_alone(market: Market) -> None:
    deal = market.onlooker.get(f"{DEALS}/{market.ids['deal_id']}").json()
    assert deal["best_bid"] == 411

    bidders = [market.winner.account.id, market.loser.account.id]
    marks = [*chain.from_iterable(market.bids.values()), market.ids["invoice_id"], *bidders]
    assert not found(market, market.onlooker, *marks)


def test_bidders_read_nothing_of_each_others_bids_and_invoices(market: Market) -> None:
    of_the_winner = [*market.bids["winner"], market.ids["invoice_id"], market.winner.account.id]
    assert not found(market, market.loser, *of_the_winner)
    assert not found(market, market.winner, *market.bids["loser"], market.loser.account.id)
    path = f"{BIDS}/{market.bids['winner'][1]}"
    for name in ("withdraw", "accept", "reject"):
        assert market.loser.post(f"{path}/{name}").status_code == 404
    assert market.loser.post(f"{path}/counter", {"amount": 5}).status_code == 404
    assert market.winner.post(f"{path}/accept").status_code == 404  # its own: not for it to accept


def test_only_the_seller_reads_its_reserve_and_thresholds(market: Market) -> None:
    secrets = (RESERVE, ACCEPT_AT, ACCEPT_AT + 1, "auto_", 'reserve"')
    buyers = (market.winner, market.loser, market.onlooker, market.revoked, market.stranger)

    for client in buyers:
        shown = found(market, client, *secrets)
        assert {where for where, _ in shown} <= {"GET /api/v1/event-types"}  # the schemas name them
        assert not {mark for _, mark in shown} & {str(RESERVE), str(ACCEPT_AT), str(ACCEPT_AT + 1)}
    assert found(market, market.seller, RESERVE, ACCEPT_AT + 1)
    assert "webhook" not in {where for where, _ in found(market, market.seller, RESERVE)}


def test_only_the_bidder_reads_its_maximum(market: Market) -> None:
    for client in (market.seller, market.loser, market.onlooker, market.stranger):
        assert not found(market, client, MAXIMUM)
    where = {where for where, _ in found(market, market.winner, MAXIMUM)}
    assert f"bid {market.bids['winner'][1]}" in where
    assert "webhook" not in where
