"""The end of auctions."""

from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from apps.common import clock
from apps.common.actor import system
from apps.common.retries import retried
from apps.deals.auctions import is_reserve_met
from apps.deals.enums import BidStatus, DealStatus
from apps.deals.models import Deal
from apps.deals.selectors.bids import leading_bid
from apps.deals.selectors.deals import read_items
from apps.deals.services.recording import as_it_is, record_change
from apps.deals.services.sales import close, sell

CLOSE = "deals.close_auctions"
CLOSE_BATCH = 100

log = structlog.get_logger(__name__)


def close_auctions() -> int:
    """Close a batch of auctions whose time is over, each in a transaction of its own; returns how many.

    One that cannot be closed is reported and left for the next sweep; it keeps no other one open.
    """
    closed = 0
    for deal_id in _due().order_by("auction_ends_at").values_list("pk", flat=True)[:CLOSE_BATCH]:
        try:
            closed += close_auction(deal_id)
        except Exception:
            log.exception("auction_not_closed", deal=str(deal_id))
    return closed


@retried
@transaction.atomic
def close_auction(deal_id: UUID) -> bool:
    """Sell a deal whose auction is over to the leading bid, or withdraw it when the reserve is not met.

    False when there is nothing to do: it is closed, its end was put off, or somebody has it locked.
    """
    deal = _due().select_for_update(no_key=True, skip_locked=True).filter(pk=deal_id).first()
    if deal is None or deal.auction is None:
        return False
    actor, at = system(CLOSE), clock.now()
    if is_reserve_met(deal.auction, deal.best_bid):
        sell(deal, leading_bid(deal), actor=actor, at=at)
    else:
        read_items(deal)
        before = as_it_is(deal)
        close(deal, DealStatus.WITHDRAWN, bids=BidStatus.EXPIRED, actor=actor, at=at)
        record_change(deal, before, actor=actor, at=at)
    return True


def _due() -> "QuerySet[Deal]":
    return Deal.objects.filter(status=DealStatus.AVAILABLE, auction_ends_at__lte=Now())
