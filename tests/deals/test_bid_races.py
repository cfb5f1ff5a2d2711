"""Many at once: one winner to a deal, no bid that slips past its end, nobody waiting in a circle."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import UUID

import pytest
from django.db import connection, connections

from apps.accounts.models import Account
from apps.common.actor import system
from apps.deals.auctions import Offer, standing
from apps.deals.enums import OPEN, BidStatus, DealStatus
from apps.deals.models import Bid, Deal, Invoice
from apps.deals.services import auctions
from apps.events.models import Event
from tests.conftest import MakeClient
from tests.deals.conftest import BIDDING, SELLING, MakeBidder
from tests.deals.support import AUTHORIZATIONS, BIDS, DEALS, Deals, auction, body, place, seen
from tests.support import ApiClient, concurrently
from tests.support.isolation import close_broker_connection

pytestmark = pytest.mark.django_db(transaction=True)

A = TypeVar("A")
B = TypeVar("B")


def by_clients(clients: int, work: Callable[[A], B], tasks: Sequence[A]) -> list[B]:
    """Let so many clients do the tasks; each takes a connection for one task at a time."""

    def run(task: A) -> B:
        try:
            return work(task)
        finally:
            connections.close_all()
            close_broker_connection()

    with ThreadPoolExecutor(max_workers=clients) as pool:
        return list(pool.map(run, tasks))


def bids_on(deals: Sequence[Deal], bidders: Sequence[Account]) -> list[Bid]:
    """One active bid of each bidder on each deal."""
    actor = system("test").as_json()
    return Bid.objects.bulk_create(
        Bid(deal=deal, bidder=bidder, amount=n, offered=n, maximum=n, actor=actor)
        for deal in deals
        for n, bidder in enumerate(bidders, start=1)
    )


def deadlocks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize(
    ("clients", "sellers", "deals_each", "bids_each"),
    [(24, 2, 4, 8), pytest.param(48, 5, 10, 20, marks=pytest.mark.slow)],
)
def test_every_deal_has_one_winner(
    api: MakeClient, clients: int, sellers: int, deals_each: int, bids_each: int
) -> None:
    selling = {client.account.id: client for client in [api(*SELLING) for _ in range(sellers)]}
    posted = [
        c.post(DEALS, body()).json()["id"] for c in selling.values() for _ in range(deals_each)
    ]
    deals = list(Deal.objects.filter(pk__in=posted))
    bids = bids_on(deals, [api(*BIDDING).account for _ in range(bids_each)])
    random.Random(7).shuffle(bids)
    before = deadlocks()

    answers = by_clients(
        clients,
        lambda bid: selling[bid.deal.seller_id].post(f"{BIDS}/{bid.id}/accept"),
        bids,
    )

    n = len(deals)
    assert Counter(each.status_code for each in answers) == {200: n, 409: len(bids) - n}
    losers = [each for each in answers if each.status_code == 409]
    assert {each.json()["code"] for each in losers} == {"bid_not_active"}
    winners = Bid.objects.filter(status=BidStatus.ACCEPTED)
    assert {bid.deal_id for bid in winners} == {deal.id for deal in deals}
    assert {str(bid.id) for bid in winners} == {
        each.json()["id"] for each in answers if each.status_code == 200
    }
    assert Bid.objects.filter(status=BidStatus.REJECTED).count() == len(bids) - n
    assert not Deal.objects.exclude(status=DealStatus.SOLD).exists()
    told = Counter(Event.objects.values_list("type", flat=True))
    assert told["bid.accepted"] == told["deal.sold"] == told["invoice.issued"] == n
    assert told["bid.rejected"] == len(bids) - n
    for seller_id in selling:
        numbers = Invoice.objects.filter(seller_id=seller_id).values_list("number", flat=True)
        assert sorted(numbers) == list(range(1, deals_each + 1))
    assert deadlocks() == before


def test_no_bid_slips_past_a_sale(seller: ApiClient, make_bidder: MakeBidder, deals: Deals) -> None:
    clients = [make_bidder() for _ in range(7)]
    for _ in range(3):
        deal = deals()
        first = place(clients[0], deal, 1)

        def work(n: int, deal: dict[str, Any] = deal, first: dict[str, Any] = first) -> list[Any]:
            if n == 0:
                return [seller.post(f"{BIDS}/{first['id']}/accept")]
            path = f"{DEALS}/{deal['id']}/bids"
            return [clients[n - 1].post(path, {"amount": 10 + turn}) for turn in range(6)]

        (accepted,), *placed = concurrently(8, work)

        # The first bid may have been raised just before it could be accepted.
        answers = [answer for own in placed for answer in own]
        assert accepted.status_code in (200, 409)
        is_sold = accepted.status_code == 200
        assert not is_sold or not Bid.objects.filter(deal=deal["id"], status__in=OPEN).exists()
        assert {answer.status_code for answer in answers} <= {201, 409}
        late = [answer.json()["code"] for answer in answers if answer.status_code == 409]
        assert set(late) <= {"deal_closed"}
        assert Bid.objects.filter(deal=deal["id"]).count() == 1 + len(answers) - len(late)
        assert seen(seller, deal)["status"] == ("sold" if is_sold else "available")


def test_a_threshold_has_one_winner_too(
    seller: ApiClient, make_bidder: MakeBidder, deals: Deals
) -> None:
    clients = [make_bidder() for _ in range(8)]
    deal = deals(auto_accept_at=50)

    answers = concurrently(
        8, lambda n: clients[n].post(f"{DEALS}/{deal['id']}/bids", {"amount": 50 + n})
    )

    assert sorted(each.status_code for each in answers) == [201] + [409] * 7
    assert Bid.objects.get().status == BidStatus.ACCEPTED
    assert Invoice.objects.count() == 1


def test_bids_at_once_leave_the_standing_that_the_rules_say(
    seller: ApiClient, make_bidder: MakeBidder, deals: Deals
) -> None:
    deal = deals(auction=auction())
    clients = [make_bidder() for _ in range(8)]

    def work(n: int) -> list[Any]:
        chance = random.Random(n)
        path = f"{DEALS}/{deal['id']}/bids"
        made = []
        for _ in range(6):
            amount = chance.randint(100, 900)
            maximum = amount + chance.randint(0, 400)
            made.append(clients[n].post(path, {"amount": amount, "maximum": maximum}))
        return made

    answers = [answer for own in concurrently(8, work) for answer in own]

    assert {answer.status_code for answer in answers} <= {201, 409}
    active = list(Bid.objects.filter(status=BidStatus.ACTIVE).order_by("id"))
    stored, terms = Deal.objects.get(), Deal.objects.get().auction
    assert terms is not None
    leader, price = standing([Offer(bid.offered, bid.maximum) for bid in active], terms)
    assert (stored.leading_bid_id, stored.best_bid) == (active[leader].id, price)
    assert active[leader].amount == price
    assert all(bid.amount == bid.maximum for bid in active if bid is not active[leader])


def test_an_auction_that_closes_while_bids_come_has_one_end(
    seller: ApiClient, make_bidder: MakeBidder, deals: Deals
) -> None:
    deal = deals(auction=auction(seconds=2.0, increment=1))
    clients = [make_bidder() for _ in range(6)]

    def work(n: int) -> Any:
        if n < 2:
            closed = 0
            while Deal.objects.filter(status=DealStatus.AVAILABLE).exists():
                closed += auctions.close_auctions()
            return closed
        chance, path, placed = random.Random(n), f"{DEALS}/{deal['id']}/bids", 0
        while True:
            least = seen(clients[n - 2], deal)["best_bid"] or 100
            amount = least + chance.randint(0, 5)
            answer = clients[n - 2].post(path, {"amount": amount, "maximum": amount + 20})
            if answer.status_code == 409 and answer.json()["code"] != "bid_too_low":
                assert answer.json()["code"] in ("auction_ended", "deal_closed")
                return placed
            assert answer.status_code in (201, 409), answer.content
            placed += answer.status_code == 201

    first, second, *placed = concurrently(8, work)

    assert first + second == 1
    assert Bid.objects.count() == sum(placed) > 0
    ended = Bid.objects.exclude(status=BidStatus.SUPERSEDED)
    winner = ended.get(status=BidStatus.ACCEPTED)
    assert winner.maximum == max(bid.maximum for bid in ended)
    assert set(ended.exclude(pk=winner.pk).values_list("status", flat=True)) <= {"rejected"}
    assert Invoice.objects.get().net_amount == winner.amount <= winner.maximum
    assert Event.objects.filter(type="deal.sold").count() == 1


def test_no_bid_slips_past_a_revocation(
    seller: ApiClient, make_bidder: MakeBidder, deals: Deals
) -> None:
    open_deals = [deals() for _ in range(6)]
    for _ in range(3):
        client = make_bidder()
        granted = seller.get(AUTHORIZATIONS).json()["results"][0]
        assert granted["buyer"] == str(client.account.id)

        def work(n: int, client: ApiClient = client, granted: Any = granted) -> Any:
            if n == 0:
                return seller.delete(f"{AUTHORIZATIONS}/{granted['id']}").status_code
            path = f"{DEALS}/{open_deals[n - 1]['id']}/bids"
            return {client.post(path, {"amount": turn}).status_code for turn in range(1, 5)}

        revoked, *answers = concurrently(7, work)

        assert revoked == 204
        assert set().union(*answers) <= {201, 404}
        assert not Bid.objects.filter(bidder_id=client.account.id, status__in=OPEN).exists()


@pytest.mark.parametrize("turns", [6, pytest.param(25, marks=pytest.mark.slow)])
def test_everybody_at_everything_leaves_no_contradiction(
    seller: ApiClient, make_bidder: MakeBidder, deals: Deals, turns: int
) -> None:
    """Whatever each step answers, they never wait for each other in a circle, and the rows agree."""
    posted = [deals(), deals(auto_accept_at=95), deals(auction=auction(buy_now=390))]
    clients = [make_bidder() for _ in range(5)]
    before = deadlocks()

    def act(chance: random.Random, client: ApiClient) -> int:
        deal = chance.choice(posted)
        path = f"{DEALS}/{deal['id']}"
        listed = client.get(f"{path}/bids", status="active").json()["results"]
        bid_id = chance.choice(listed)["id"] if listed else UUID(int=0)
        match chance.randrange(8) if client is seller else 8 + chance.randrange(3):
            case 0 | 1 if chance.random() < 0.1:
                answer = client.post(f"{BIDS}/{bid_id}/accept")
            case 2 | 3:
                answer = client.post(f"{BIDS}/{bid_id}/counter", {"amount": 94})
            case 4:
                answer = client.post(f"{path}/bids/reject", {"below": chance.randrange(50)})
            case 5 | 6 | 7 | 0 | 1:
                answer = client.patch(path, {"total_price": chance.randrange(1, 500)})
            case 8:
                answer = client.post(f"{BIDS}/{bid_id}/withdraw")
            case _:
                amount = chance.randrange(1, 95 if deal is not posted[2] else 300)
                answer = client.post(f"{path}/bids", {"amount": amount})
        return answer.status_code

    def work(n: int) -> set[int]:
        chance = random.Random(n)
        client = seller if n < 3 else clients[n % 5]
        return {act(chance, client) for _ in range(turns)}

    codes = set().union(*concurrently(10, work))

    assert codes <= {200, 201, 404, 409}
    assert deadlocks() == before
    for deal in Deal.objects.all():
        standing_now = deal.bids.filter(status=BidStatus.ACTIVE).order_by("-maximum", "id").first()
        assert deal.leading_bid_id == (standing_now.id if standing_now else None)
        assert not (deal.is_closed and deal.bids.filter(status__in=OPEN).exists())
        won = deal.bids.filter(status=BidStatus.ACCEPTED).count()
        assert won == Invoice.objects.filter(deal=deal).count() == int(deal.is_closed)
