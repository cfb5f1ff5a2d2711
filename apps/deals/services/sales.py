"""The end of a deal: sold to a bid, sold elsewhere, or withdrawn. With it end its open bids."""

from datetime import datetime

from django.db.models import Q

from apps.common.actor import Actor
from apps.deals.enums import BidStatus, DealStatus
from apps.deals.events.bids import BID_ACCEPTED
from apps.deals.models import Bid, Deal
from apps.deals.selectors.deals import read_items
from apps.deals.services import invoices
from apps.deals.services.recording import announce, as_it_is, end_bids, move_bid, record_change


def sell(deal: Deal, bid: Bid, *, actor: Actor, at: datetime) -> None:
    """Sell the deal to the bid, which may be new, for its amount; reject the others; issue the invoice.

    Call it with the deal locked and available, as the last of a transaction.
    """
    read_items(deal)
    before = as_it_is(deal)
    move_bid(bid, BidStatus.ACCEPTED, actor=actor, at=at)
    close(deal, DealStatus.SOLD, bids=BidStatus.REJECTED, actor=actor, at=at)
    announce(BID_ACCEPTED, deal, [bid], actor=actor, at=at)
    record_change(deal, before, actor=actor, at=at)
    invoices.issue(deal=deal, buyer_id=bid.bidder_id, amount=bid.amount, actor=actor, at=at)


def close(deal: Deal, status: DealStatus, *, bids: BidStatus, actor: Actor, at: datetime) -> None:
    """Let the deal be sold or withdrawn, and move its open bids to `bids`; the caller records it."""
    deal.status = status
    deal.best_bid = deal.leading_bid_id = None
    end_bids(deal, Q(), bids, actor=actor, at=at)
