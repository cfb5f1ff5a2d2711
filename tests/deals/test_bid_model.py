"""Any sequence of steps on a deal, beside a model of it that is a few dictionaries."""

from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from apps.accounts.models import Account
from apps.common.actor import Actor, ActorKind
from apps.common.errors import Conflict
from apps.deals.enums import OPEN, BidStatus, DealStatus
from apps.deals.models import Bid, Deal, Invoice
from apps.deals.services import bids
from apps.deals.services.authorizations import grant_authorization
from apps.deals.services.deals import create_deal, edit_deal
from apps.events.models import Event
from tests.conftest import MakeAccount
from tests.deals.support import body

SOMEBODY = Actor(kind=ActorKind.API_KEY, id="a key", label="tp_test")
ACCEPT_AT, REJECT_BELOW = 90, 20

numbers = st.integers(0, 20)
buyers = st.integers(0, 2)


class Market(RuleBasedStateMachine):
    """`status` and `amount` of every bid by its id, what each bidder was countered, how the deal is."""

    seller: Account
    bidders: list[Account]

    def __init__(self) -> None:
        super().__init__()
        terms = body(auto_accept_at=ACCEPT_AT, auto_reject_below=REJECT_BELOW)
        deal = create_deal(seller_id=self.seller.id, terms=terms, actor=SOMEBODY)
        self.deal_id = deal.id
        self.deal_status = DealStatus.AVAILABLE
        self.bids: dict[UUID, tuple[BidStatus, int]] = {}
        self.open: dict[int, UUID] = {}
        self.counters: dict[int, int] = {}
        self.sold_for: int | None = None
        self.told = 0

    def is_available(self) -> bool:
        return self.deal_status == DealStatus.AVAILABLE

    @rule(buyer=buyers, amount=st.integers(1, 100))
    def place(self, buyer: int, amount: int) -> None:
        call: dict[str, Any] = {
            "bidder_id": self.bidders[buyer].id,
            "deal_id": self.deal_id,
            "amount": amount,
        }
        if not self.is_available():
            return refused(lambda: bids.place_bid(**call, actor=SOMEBODY))

        placed = bids.place_bid(**call, actor=SOMEBODY)

        earlier, counter = self.open.pop(buyer, None), self.counters.pop(buyer, None)
        if earlier:
            self.bids[earlier] = (BidStatus.SUPERSEDED, self.bids[earlier][1])
        self.told += 1
        if amount >= ACCEPT_AT or (counter is not None and amount >= counter):
            self.bids[placed.id] = (BidStatus.ACCEPTED, amount)
            self.close(DealStatus.SOLD, amount)
        elif amount < REJECT_BELOW:
            self.bids[placed.id] = (BidStatus.REJECTED, amount)
        else:
            self.bids[placed.id] = (BidStatus.ACTIVE, amount)
            self.open[buyer] = placed.id
        assert placed.status == self.bids[placed.id][0]
        return None

    @precondition(lambda self: self.bids)
    @rule(number=numbers)
    def accept(self, number: int) -> None:
        bid_id, status, amount = self.any_bid(number)
        call: dict[str, Any] = {"seller_id": self.seller.id, "bid_id": bid_id, "actor": SOMEBODY}
        if status is not BidStatus.ACTIVE:
            return refused(lambda: bids.accept_bid(**call))

        bids.accept_bid(**call)

        self.end(bid_id, BidStatus.ACCEPTED)
        self.close(DealStatus.SOLD, amount)
        return None

    @precondition(lambda self: self.bids)
    @rule(number=numbers)
    def reject(self, number: int) -> None:
        bid_id, status, _ = self.any_bid(number)
        call: dict[str, Any] = {"seller_id": self.seller.id, "bid_id": bid_id, "actor": SOMEBODY}
        if status not in OPEN:
            return refused(lambda: bids.reject_bid(**call))
        bids.reject_bid(**call)
        self.end(bid_id, BidStatus.REJECTED)
        return None

    @precondition(lambda self: self.bids)
    @rule(number=numbers)
    def withdraw(self, number: int) -> None:
        bid_id, status, _ = self.any_bid(number)
        bidder_id = Bid.objects.get(pk=bid_id).bidder_id
        call: dict[str, Any] = {"bidder_id": bidder_id, "bid_id": bid_id, "actor": SOMEBODY}
        if status not in OPEN:
            return refused(lambda: bids.withdraw_bid(**call))
        bids.withdraw_bid(**call)
        self.end(bid_id, BidStatus.WITHDRAWN)
        return None

    @precondition(lambda self: self.bids)
    @rule(number=numbers, amount=st.integers(1, ACCEPT_AT))
    def counter(self, number: int, amount: int) -> None:
        bid_id, status, its_amount = self.any_bid(number)
        call: dict[str, Any] = {"seller_id": self.seller.id, "bid_id": bid_id, "amount": amount}
        if status is not BidStatus.ACTIVE:
            return refused(lambda: bids.counter_bid(**call, actor=SOMEBODY))
        bids.counter_bid(**call, actor=SOMEBODY)
        self.bids[bid_id] = (BidStatus.COUNTERED, its_amount)
        (buyer,) = [each for each, open_id in self.open.items() if open_id == bid_id]
        self.counters[buyer] = amount
        self.told += 1
        return None

    @precondition(lambda self: self.is_available())
    @rule(below=st.integers(0, 100))
    def reject_many(self, below: int) -> None:
        low = [
            bid_id
            for bid_id, (status, amount) in self.bids.items()
            if status is BidStatus.ACTIVE and amount < below
        ]
        rejected = bids.reject_bids(
            seller_id=self.seller.id, deal_id=self.deal_id, below=below, actor=SOMEBODY
        )
        assert rejected == len(low)
        for bid_id in low:
            self.end(bid_id, BidStatus.REJECTED)

    @precondition(lambda self: self.is_available() and len(self.bids) > 3)
    @rule(status=st.sampled_from([DealStatus.SOLD, DealStatus.WITHDRAWN]))
    def close_elsewhere(self, status: DealStatus) -> None:
        call: dict[str, Any] = {"seller_id": self.seller.id, "deal_id": self.deal_id}
        edit_deal(**call, changes={"status": status}, actor=SOMEBODY)
        self.close(status, None)

    @invariant()
    def rows_are_as_in_the_model(self) -> None:
        rows = {bid.id: (bid.status, bid.amount) for bid in Bid.objects.filter(deal=self.deal_id)}
        assert rows == self.bids
        deal = Deal.objects.get(pk=self.deal_id)
        assert deal.status == self.deal_status
        active = [amount for status, amount in self.bids.values() if status is BidStatus.ACTIVE]
        assert deal.best_bid == max(active, default=None)
        invoiced = Invoice.objects.filter(deal=deal).values_list("net_amount", flat=True)
        assert list(invoiced) == ([] if self.sold_for is None else [self.sold_for])

    @invariant()
    def every_step_was_told_once(self) -> None:
        assert Event.objects.filter(subject__in=self.bids).count() == self.told

    def any_bid(self, number: int) -> tuple[UUID, BidStatus, int]:
        bid_id = sorted(self.bids)[number % len(self.bids)]
        return bid_id, *self.bids[bid_id]

    def end(self, bid_id: UUID, status: BidStatus) -> None:
        self.bids[bid_id] = (status, self.bids[bid_id][1])
        (buyer,) = [each for each, open_id in self.open.items() if open_id == bid_id]
        del self.open[buyer]
        self.counters.pop(buyer, None)
        self.told += 1

    def close(self, status: DealStatus, amount: int | None) -> None:
        self.deal_status, self.sold_for = status, amount
        for bid_id in list(self.open.values()):
            self.end(bid_id, BidStatus.REJECTED)


def refused(call: Any) -> None:
    try:
        call()
    except Conflict:
        return
    raise AssertionError("this should have been refused")


@pytest.mark.parametrize("examples", [5, pytest.param(30, marks=pytest.mark.slow)])
def test_services_do_as_the_model_does(make_account: MakeAccount, examples: int) -> None:
    class InThisDatabase(Market):
        seller = make_account()
        bidders = [make_account() for _ in range(3)]

    for bidder in InThisDatabase.bidders:
        grant_authorization(seller_id=InThisDatabase.seller.id, buyer=bidder.slug, actor=SOMEBODY)

    run_machine(InThisDatabase, settings=settings(max_examples=examples, stateful_step_count=20))
