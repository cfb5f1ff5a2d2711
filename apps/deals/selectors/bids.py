"""Reads of bids. A seller sees those on its deals, a buyer its own while the seller authorises it."""

from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.deals.enums import OPEN
from apps.deals.errors import BidNotFound, DealNotFound, OwnDeal
from apps.deals.models import Authorization, Bid, Deal
from apps.deals.selectors.deals import visible_state

NOT_FOUND = "There is no such bid, or it is not yours."


def bids_on_deal(account_id: UUID, deal_id: UUID, filters: dict[str, Any]) -> "QuerySet[Bid]":
    """The bids on a deal that the account may see now: all for the seller, its own for a buyer.

    `filters` may hold `status`. Raises DealNotFound.
    """
    visible_state(account_id, deal_id)
    bids = Bid.objects.filter(deal_id=deal_id, **filters).select_related("deal")
    if Deal.objects.filter(pk=deal_id, seller_id=account_id).exists():
        return bids
    return bids.filter(bidder_id=account_id)


def own_bids(account_id: UUID, filters: dict[str, Any]) -> "QuerySet[Bid]":
    """The bids that the account placed, on deals that it may see now; `filters` may hold `status`."""
    return _own(account_id).filter(**filters)


def visible_bid(account_id: UUID, bid_id: UUID) -> Bid:
    """One bid on a deal of the account, or of its own; raises BidNotFound."""
    bids = Bid.objects.select_related("deal").filter(deal__seller_id=account_id)
    found = (bids | _own(account_id)).filter(pk=bid_id).first()
    if found is None:
        raise BidNotFound(NOT_FOUND)
    return found


def leading_bid(deal: Deal) -> Bid:
    """The bid that leads on a deal that has bids."""
    return deal.bids.get(Q(pk=deal.leading_bid_id))


def deal_locked_for_bidding(bidder_id: UUID, deal_id: UUID) -> Deal:
    """A deal, for placing a bid in this transaction; raises DealNotFound and OwnDeal.

    The authorisation is locked before the deal, as by its revocation: a bid that is being placed is
    seen by it, and after it none is placed.
    """
    allowed = Authorization.objects.filter(
        buyer_id=bidder_id, seller_id__in=Deal.objects.filter(pk=deal_id).values("seller_id")
    )
    is_allowed = allowed.select_for_update(no_key=True).first() is not None
    if not is_allowed and Deal.objects.filter(pk=deal_id, seller_id=bidder_id).exists():
        raise OwnDeal("The deal is your own; you cannot bid on it.")
    deal = _locked(pk=deal_id) if is_allowed else None
    if deal is None:
        raise DealNotFound("There is no such deal, or your account may not see it.")
    return deal


def bid_locked(bid_id: UUID, **scope: Any) -> Bid:
    """One bid, for changing it in this transaction, with its deal, which is locked first.

    `scope` narrows down the bids, e.g. `deal__seller_id=…`. Raises BidNotFound.
    """
    deal_id = Bid.objects.filter(pk=bid_id, **scope).values_list("deal_id", flat=True).first()
    deal = deal_id and _locked(pk=deal_id)
    if not deal:
        raise BidNotFound(NOT_FOUND)
    return deal.bids.get(pk=bid_id)  # read only now that it cannot change any more


def own_bid_locked(bidder_id: UUID, bid_id: UUID) -> Bid:
    """One bid of the bidder, for changing it in this transaction; raises BidNotFound."""
    if not _own(bidder_id).filter(pk=bid_id).exists():
        raise BidNotFound(NOT_FOUND)
    return bid_locked(bid_id)


def deals_with_bids_locked(which: Q, *, limit: int | None = None, **scope: Any) -> list[Deal]:
    """Deals with open bids that are `which`, locked in the order of their ids.

    With a `limit`, for a sweep, at most so many, without those that somebody else has locked.
    """
    bids = Bid.objects.filter(which, status__in=OPEN)
    if limit is not None:
        bids = bids.filter(pk__in=bids.order_by("expires_at").values("pk")[:limit])
    deals = Deal.objects.filter(pk__in=bids.values("deal_id"), **scope).order_by("pk")
    return list(deals.select_for_update(no_key=True, skip_locked=limit is not None))


def _own(account_id: UUID) -> "QuerySet[Bid]":
    allowed = Authorization.objects.filter(
        buyer_id=account_id, seller_id=OuterRef("deal__seller_id")
    )
    return Bid.objects.select_related("deal").filter(Exists(allowed), bidder_id=account_id)


def _locked(**scope: Any) -> Deal | None:
    return Deal.objects.select_for_update(no_key=True).filter(**scope).first()
