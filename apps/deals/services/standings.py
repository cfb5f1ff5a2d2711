"""How the active bids of a deal stand: which leads, and at what price."""

from datetime import datetime
from uuid import UUID

from apps.common.actor import Actor
from apps.deals.auctions import Offer, standing
from apps.deals.enums import BidStatus
from apps.deals.events.bids import BID_OUTBID
from apps.deals.models import Bid, Deal
from apps.deals.services.recording import announce


def restand(deal: Deal, *, actor: Actor, at: datetime) -> None:
    """Find and store who leads now; call it with the deal locked, after its bids have changed.

    In an auction the leading bid stands at the price, the others at their maximum, up to which they
    were bid; whoever loses the lead is told.
    """
    top = list(deal.bids.filter(status=BidStatus.ACTIVE).order_by("-maximum", "id")[:2])
    leader = top[0] if top else None
    price = _price(deal, top) if top else None
    leader_id = leader.id if leader else None
    loser = deal.leading_bid_id
    if (price, leader_id) != (deal.best_bid, loser):
        deal.best_bid, deal.leading_bid_id = price, leader_id
        deal.save(update_fields=["best_bid", "leading_bid_id"])
    if deal.auction is None or leader is None:
        return
    if leader.amount != price:
        Bid.objects.filter(pk=leader.pk).update(amount=price)
    if loser is not None and loser != leader.id:
        _outbid(deal, loser, actor, at)


def _price(deal: Deal, top: list[Bid]) -> int:
    if deal.auction is None:
        return top[0].amount
    earliest_first = sorted(top, key=lambda bid: bid.id)
    offers = [Offer(bid.offered, bid.maximum) for bid in earliest_first]
    return standing(offers, deal.auction).price


def _outbid(deal: Deal, bid_id: UUID, actor: Actor, at: datetime) -> None:
    bid = deal.bids.filter(pk=bid_id, status=BidStatus.ACTIVE).first()
    if bid is None:  # it did not lose the lead: it is gone, or its bidder raised it
        return
    bid.amount = bid.maximum
    bid.save(update_fields=["amount"])
    announce(BID_OUTBID, deal, [bid], actor=actor, at=at)
