"""Bids: placed, answered, taken back, expired.

Each change locks the deal first and looks at its bids after that, so that on one deal all changes come
one after the other: there is one winner however many accept at once, and no bid slips past a sale.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from apps.common import clock
from apps.common.actor import Actor, system
from apps.common.errors import Fault, Invalid
from apps.common.ids import uuid7_at
from apps.common.retries import retried
from apps.deals.auctions import Auction, least_bid
from apps.deals.enums import OPEN, BidStatus
from apps.deals.errors import AuctionEnded, BidTooLow, DealClosed
from apps.deals.events.bids import REACHED
from apps.deals.models import Bid, Deal
from apps.deals.selectors import bids as selectors
from apps.deals.selectors.deals import own_deal_locked, read_items
from apps.deals.services.recording import announce, as_it_is, end_bids, move_bid, record_change
from apps.deals.services.sales import sell
from apps.deals.services.standings import restand
from apps.deals.states import Party, require_step

EXPIRE = "deals.expire_bids"
EXPIRE_BATCH = 500


@retried
@transaction.atomic
def place_bid(
    *,
    bidder_id: UUID,
    deal_id: UUID,
    amount: int,
    actor: Actor,
    maximum: int | None = None,
    expires_at: datetime | None = None,
) -> Bid:
    """Bid on a deal of a seller that authorises the bidder, in the place of its earlier bid, if any.

    The bid may come back accepted or rejected, see `_answer_at_once`. `maximum` is for auctions,
    `expires_at` for other deals. Raises DealNotFound, OwnDeal, DealClosed, AuctionEnded, BidTooLow and
    Invalid.
    """
    deal = selectors.deal_locked_for_bidding(bidder_id, deal_id)
    at = clock.now()
    if deal.is_closed:
        raise DealClosed(f"The deal is {deal.status}; nobody can bid on it any more.")
    earlier = deal.bids.filter(bidder_id=bidder_id, status__in=OPEN).first()
    bid = Bid(
        id=uuid7_at(at),
        deal=deal,
        bidder_id=bidder_id,
        amount=amount,
        offered=amount,
        maximum=amount if maximum is None else maximum,
        supersedes=earlier,
        expires_at=expires_at,
        actor=actor.as_json(),
        created_at=at,
        updated_at=at,
    )
    _require_fitting(bid, at, has_maximum=maximum is not None)
    if deal.auction is None:
        _bid_openly(bid, earlier, actor=actor, at=at)
    else:
        _bid_in_auction(bid, earlier, deal.auction, actor=actor, at=at)
    return bid


@retried
@transaction.atomic
def withdraw_bid(*, bidder_id: UUID, bid_id: UUID, actor: Actor) -> Bid:
    """Take a bid back, or decline the counter to it; raises BidNotFound, BidNotActive, AuctionRunning."""
    bid = selectors.own_bid_locked(bidder_id, bid_id)
    _step(bid, BidStatus.WITHDRAWN, Party.BIDDER, actor)
    return bid


@retried
@transaction.atomic
def accept_bid(*, seller_id: UUID, bid_id: UUID, actor: Actor) -> Bid:
    """Sell the deal to the bid for its amount; raises BidNotFound, BidNotActive, AuctionRunning."""
    bid = selectors.bid_locked(bid_id, deal__seller_id=seller_id)
    at = clock.now()
    require_step(bid, bid.deal, BidStatus.ACCEPTED, Party.SELLER, at)
    sell(bid.deal, bid, actor=actor, at=at)
    return bid


@retried
@transaction.atomic
def reject_bid(*, seller_id: UUID, bid_id: UUID, actor: Actor) -> Bid:
    """Refuse a bid, or take the counter to it back; raises BidNotFound, BidNotActive."""
    bid = selectors.bid_locked(bid_id, deal__seller_id=seller_id)
    _step(bid, BidStatus.REJECTED, Party.SELLER, actor)
    return bid


@retried
@transaction.atomic
def reject_bids(
    *,
    seller_id: UUID,
    deal_id: UUID,
    actor: Actor,
    ids: Sequence[UUID] | None = None,
    below: int | None = None,
) -> int:
    """Refuse the open bids of these `ids`, or all active ones of less than `below`; returns how many.

    Those that are over already are left alone. Raises DealNotFound, DealClosed, and Invalid for an id
    that is of no bid on this deal.
    """
    deal = own_deal_locked(seller_id, deal_id)
    if deal.is_closed:
        raise DealClosed(f"The deal is {deal.status}; its bids have been answered.")
    if ids is not None:
        _require_bids_of(deal, ids)
    which = Q(status=BidStatus.ACTIVE, amount__lt=below) if ids is None else Q(pk__in=ids)
    at = clock.now()
    rejected = end_bids(deal, which, BidStatus.REJECTED, actor=actor, at=at, party=Party.SELLER)
    restand(deal, actor=actor, at=at)
    return rejected


@retried
@transaction.atomic
def counter_bid(*, seller_id: UUID, bid_id: UUID, amount: int, actor: Actor) -> Bid:
    """Answer a bid with another price: a bid of it or more, by the same bidder, is accepted at once.

    Raises BidNotFound, BidNotActive, AuctionRunning.
    """
    bid = selectors.bid_locked(bid_id, deal__seller_id=seller_id)
    bid.counter_amount = amount
    _step(bid, BidStatus.COUNTERED, Party.SELLER, actor)
    return bid


@transaction.atomic
def expire_bids() -> int:
    """Let a batch of bids lapse whose time has run out; returns how many."""
    due = Q(expires_at__lte=Now())
    actor, expired = system(EXPIRE), 0
    deals = selectors.deals_with_bids_locked(due, limit=EXPIRE_BATCH)
    at = clock.now()
    for deal in deals:
        expired += end_bids(deal, due, BidStatus.EXPIRED, actor=actor, at=at)
        restand(deal, actor=actor, at=at)
    return expired


def _step(bid: Bid, target: BidStatus, party: Party, actor: Actor) -> None:
    at = clock.now()
    require_step(bid, bid.deal, target, party, at)
    move_bid(bid, target, actor=actor, at=at)
    restand(bid.deal, actor=actor, at=at)
    announce(REACHED[target], bid.deal, [bid], actor=actor, at=at)


def _bid_openly(bid: Bid, earlier: Bid | None, *, actor: Actor, at: datetime) -> None:
    outcome = _answer_at_once(bid, earlier, at)
    _supersede(earlier, bid.deal, actor=actor, at=at)
    if outcome is BidStatus.ACCEPTED:
        sell(bid.deal, bid, actor=actor, at=at)
        return
    move_bid(bid, outcome, actor=actor, at=at)
    restand(bid.deal, actor=actor, at=at)
    announce(REACHED[outcome], bid.deal, [bid], actor=actor, at=at)


def _answer_at_once(bid: Bid, earlier: Bid | None, at: datetime) -> BidStatus:
    """What becomes of a new bid: the seller's counter to the earlier one goes before its thresholds."""
    deal, amount = bid.deal, bid.amount
    if earlier is not None and _takes_counter(amount, earlier, at):
        return BidStatus.ACCEPTED
    if deal.auto_accept_at is not None and amount >= deal.auto_accept_at:
        return BidStatus.ACCEPTED
    if deal.auto_reject_below is not None and amount < deal.auto_reject_below:
        return BidStatus.REJECTED
    return BidStatus.ACTIVE


def _takes_counter(amount: int, earlier: Bid, at: datetime) -> bool:
    if earlier.status != BidStatus.COUNTERED or earlier.counter_amount is None:
        return False
    stands = earlier.expires_at is None or earlier.expires_at > at
    return stands and amount >= earlier.counter_amount


def _bid_in_auction(
    bid: Bid, earlier: Bid | None, auction: Auction, *, actor: Actor, at: datetime
) -> None:
    """Place a bid by the auction's rules: buying at once, or bidding others up by maximums."""
    deal = bid.deal
    if auction.ends_at <= at:
        raise AuctionEnded("The auction has ended; its result is about to be told.")
    _cap(bid, auction)
    buys_now = bid.offered == auction.buy_now
    if not buys_now:
        _require_enough(bid, earlier, auction)
    _supersede(earlier, deal, actor=actor, at=at)
    if buys_now:
        sell(deal, bid, actor=actor, at=at)
        return
    bid.amount = bid.maximum
    move_bid(bid, BidStatus.ACTIVE, actor=actor, at=at)
    restand(deal, actor=actor, at=at)
    bid.refresh_from_db(fields=["amount"])
    _conclude(bid, auction, actor=actor, at=at)


def _conclude(bid: Bid, auction: Auction, *, actor: Actor, at: datetime) -> None:
    """Tell of a new bid in an auction, and of what it brought about: a sale, or a later end."""
    deal = bid.deal
    is_bought = deal.best_bid == auction.buy_now
    leads = deal.leading_bid_id == bid.id
    if not (is_bought and leads):
        announce(REACHED[BidStatus.ACTIVE], deal, [bid], actor=actor, at=at)
    if is_bought:
        leader = bid if leads else selectors.leading_bid(deal)
        sell(deal, leader, actor=actor, at=at)
        bid.refresh_from_db()
        return
    extended = at + timedelta(seconds=auction.extension_seconds)
    if extended > auction.ends_at:
        read_items(deal)
        before = as_it_is(deal)
        deal.auction = auction._replace(ends_at=extended)
        record_change(deal, before, actor=actor, at=at)


def _cap(bid: Bid, auction: Auction) -> None:
    """Nobody bids above the price for which it could buy at once."""
    if auction.buy_now is not None:
        bid.maximum = min(bid.maximum, auction.buy_now)
        bid.amount = bid.offered = min(bid.offered, auction.buy_now)


def _require_enough(bid: Bid, earlier: Bid | None, auction: Auction) -> None:
    """Raises BidTooLow unless the bid is a raise; of a leader's own bid too, whose price never falls."""
    deal = bid.deal
    if earlier is not None and earlier.id == deal.leading_bid_id:
        least = earlier.maximum + 1
        bid.offered = max(bid.offered, earlier.amount)
    else:
        least = least_bid(auction, deal.best_bid)
    if bid.maximum < least:
        detail = f"Bid {least} at the least."
        fault = Fault("/amount", BidTooLow.code, detail, {"minimum": least})
        raise BidTooLow(detail, faults=[fault])


def _supersede(earlier: Bid | None, deal: Deal, *, actor: Actor, at: datetime) -> None:
    """Before the new one is stored: a bidder has one open bid on a deal."""
    if earlier is not None:
        require_step(earlier, deal, BidStatus.SUPERSEDED, Party.BIDDER, at)
        move_bid(earlier, BidStatus.SUPERSEDED, actor=actor, at=at)


def _require_fitting(bid: Bid, at: datetime, *, has_maximum: bool) -> None:
    faults = []
    if bid.deal.auction is None and has_maximum:
        detail = "A maximum is for auctions; here you bid what you would pay."
        faults.append(Fault("/maximum", "no_auction", detail))
    if bid.maximum < bid.amount:
        faults.append(Fault("/maximum", "below_amount", "It may not be below the amount."))
    if bid.expires_at is not None:
        if bid.deal.auction is not None:
            detail = "A bid in an auction stands until its end."
            faults.append(Fault("/expires_at", "not_in_auction", detail))
        elif bid.expires_at <= at:
            faults.append(Fault("/expires_at", "in_the_past", "A bid expires in the future."))
    if faults:
        raise Invalid("The bid does not fit the deal.", faults=faults)


def _require_bids_of(deal: Deal, ids: Sequence[UUID]) -> None:
    own = set(deal.bids.filter(pk__in=ids).values_list("pk", flat=True))
    faults = [
        Fault(f"/ids/{index}", "unknown_bid", "There is no such bid on the deal.")
        for index, bid_id in enumerate(ids)
        if bid_id not in own
    ]
    if faults:
        raise Invalid("Some of the ids are of no bid on the deal.", faults=faults[:50])
