"""Writing down what happens to deals and their bids: the rows, the history and the events.

Everything here is called with the deal locked, in the transaction of the change.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import F, Q

from apps.common.actor import Actor
from apps.deals.enums import BidStatus, DealStatus
from apps.deals.events.bids import REACHED, bid_object
from apps.deals.events.deals import (
    DEAL_SOLD,
    DEAL_UPDATED,
    DEAL_WITHDRAWN,
    deal_changes,
    deal_object,
    for_buyers,
)
from apps.deals.models import Bid, Deal, DealHistory
from apps.deals.states import Party, sources_of
from apps.events.catalogue import EventType
from apps.events.channels import channel_of
from apps.events.publishing import draft, publish, publish_all

CHANNEL = "deals"  # of each seller; its members are the buyers that see the seller's deals

Changes = Mapping[str, tuple[Any, Any]]

_TYPE_OF_STATUS = {
    DealStatus.AVAILABLE: DEAL_UPDATED,
    DealStatus.SOLD: DEAL_SOLD,
    DealStatus.WITHDRAWN: DEAL_WITHDRAWN,
}


def as_it_is(deal: Deal) -> dict[str, Any]:
    """The whole deal, as its seller sees it: to be compared with what it becomes."""
    return deal_object(deal, deal.seller_id)


def record_change(deal: Deal, before: Mapping[str, Any], *, actor: Actor, at: datetime) -> None:
    """Store what differs from `before`, remember it and tell of it; nothing when nothing does.

    A change of the seller's own terms alone is nothing to tell its buyers of.
    """
    after = as_it_is(deal)
    changes = deal_changes(before, after)
    if not changes:
        return
    deal.version += 1
    deal.updated_at = at
    deal.save(force_update=True)
    event = _TYPE_OF_STATUS[DealStatus(deal.status)]
    _remember(event, deal, changes, actor)
    told = deal_changes(for_buyers(before), for_buyers(after))
    if told:
        _tell(event, deal, told, actor)


def announce(
    type: EventType, deal: Deal, bids: Iterable[Bid], *, actor: Actor, at: datetime
) -> None:
    """Tell the seller, and each of the bidders of its own bid."""
    publish_all(
        [
            draft(
                type,
                account_id=deal.seller_id,
                readers=[bid.bidder_id],
                subject=bid.id,
                object=bid_object(bid),
                actor=actor,
                at=at,
            )
            for bid in bids
        ]
    )


def end_bids(
    deal: Deal,
    which: Q,
    target: BidStatus,
    *,
    actor: Actor,
    at: datetime,
    party: Party = Party.SYSTEM,
) -> int:
    """Move those of the deal's bids that are `which`, and that the party may move, to `target`.

    Set-wise, with an event for each. Returns how many; how the deal stands then is for the caller to
    find out (`standings.restand`), unless it closes the deal.
    """
    bids = list(deal.bids.filter(which, status__in=sources_of(target, party)))
    # These, not those that are `which` by now: the deal's lock does not stop the time.
    rows = deal.bids.filter(pk__in=[bid.pk for bid in bids])
    rows.update(status=target, decided_by=actor.as_json(), updated_at=at, version=F("version") + 1)
    for bid in bids:
        _move(bid, target, actor, at)
    announce(REACHED[target], deal, bids, actor=actor, at=at)
    return len(bids)


def move_bid(bid: Bid, target: BidStatus, *, actor: Actor, at: datetime) -> None:
    """Store one bid's step, or the bid itself if it is new in that state; tells nobody yet."""
    if bid._state.adding:
        bid.status = target
        bid.save(force_insert=True)
    else:
        _move(bid, target, actor, at)
        bid.save(update_fields=["status", "decided_by", "updated_at", "version", "counter_amount"])


def _move(bid: Bid, target: BidStatus, actor: Actor, at: datetime) -> None:
    bid.status = target
    bid.decided_by = actor.as_json()
    bid.updated_at = at
    bid.version += 1


def _remember(type: EventType, deal: Deal, changes: Changes, actor: Actor) -> None:
    DealHistory.objects.create(
        deal=deal,
        type=type.name,
        actor=actor.as_json(),
        request_id=actor.request_id,
        changes=changes,
        at=deal.updated_at,
    )


def _tell(type: EventType, deal: Deal, changes: Changes, actor: Actor) -> None:
    publish(
        draft(
            type,
            account_id=deal.seller_id,
            channel_id=channel_of(deal.seller_id, CHANNEL).id,
            subject=deal.id,
            object=deal_object(deal),
            changes=changes,
            actor=actor,
            at=deal.updated_at,
        )
    )
