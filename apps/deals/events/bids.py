"""How bids look, in answers and in events, and what can happen to them.

Events about a bid go to the seller and to its bidder; its maximum is the bidder's alone.
"""

from typing import Any
from uuid import UUID

from apps.common.clock import rfc3339
from apps.common.schemas import (
    boolean,
    component,
    enum,
    integer,
    nullable,
    obj,
    string,
    timestamp,
    uuid,
)
from apps.deals.enums import BidStatus
from apps.deals.models import Bid
from apps.events.catalogue import define

BID = component(
    "Bid",
    obj(
        {
            "id": uuid(),
            "deal": uuid(),
            "bidder": uuid("The account that bids."),
            "status": enum(
                list(BidStatus.values),
                "An active one can be accepted; a countered one lives on as the seller's offer.",
            ),
            "amount": integer("What it stands at, in the minor unit."),
            "currency": string("ISO 4217; the deal's."),
            "leading": boolean("Whether it is the best active bid."),
            "counter_amount": nullable(
                integer("What the seller would sell for: a bid of it buys the deal at once.")
            ),
            "maximum": integer(
                "In an auction, what it may rise to by itself. Shown to the bidder alone."
            ),
            "supersedes": nullable(uuid("The bidder's bid that it took the place of.")),
            "expires_at": nullable(timestamp("When it lapses by itself.")),
            "version": integer("Counts the steps from state to state."),
            "created_at": timestamp(),
            "updated_at": timestamp(),
        },
        optional=("maximum",),
    ),
    example={
        "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a66",
        "deal": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a11",
        "bidder": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a44",
        "status": "active",
        "amount": 95000,
        "currency": "EUR",
        "leading": True,
        "counter_amount": None,
        "supersedes": None,
        "expires_at": None,
        "version": 1,
        "created_at": "2026-11-21T09:30:00.000000Z",
        "updated_at": "2026-11-21T09:30:00.000000Z",
    },
)

BID_PLACED = define("bid.placed", "A buyer bids on a deal.", BID)
BID_OUTBID = define("bid.outbid", "In an auction, another bid took the lead.", BID)
BID_COUNTERED = define("bid.countered", "The seller answers a bid with another price.", BID)
BID_ACCEPTED = define("bid.accepted", "A bid bought the deal.", BID)
BID_REJECTED = define("bid.rejected", "A bid was refused, or the deal is gone.", BID)
BID_WITHDRAWN = define("bid.withdrawn", "The buyer took its bid back.", BID)
BID_EXPIRED = define("bid.expired", "A bid lapsed, by its time or with an unsold auction.", BID)

# The event of a bid's coming to a state; being superseded is told by the event of the new bid.
REACHED = {
    BidStatus.ACTIVE: BID_PLACED,
    BidStatus.COUNTERED: BID_COUNTERED,
    BidStatus.ACCEPTED: BID_ACCEPTED,
    BidStatus.REJECTED: BID_REJECTED,
    BidStatus.WITHDRAWN: BID_WITHDRAWN,
    BidStatus.EXPIRED: BID_EXPIRED,
}


def bid_object(bid: Bid, viewer: UUID | None = None) -> dict[str, Any]:
    """The bid as the account `viewer` may see it; without one, as seller and bidder both may."""
    deal = bid.deal
    shown = {
        "id": str(bid.id),
        "deal": str(bid.deal_id),
        "bidder": str(bid.bidder_id),
        "status": str(bid.status),
        "amount": bid.amount,
        "currency": deal.currency,
        "leading": bid.status == BidStatus.ACTIVE and deal.leading_bid_id == bid.id,
        "counter_amount": bid.counter_amount,
        "supersedes": str(bid.supersedes_id) if bid.supersedes_id else None,
        "expires_at": rfc3339(bid.expires_at) if bid.expires_at else None,
        "version": bid.version,
        "created_at": rfc3339(bid.created_at),
        "updated_at": rfc3339(bid.updated_at),
    }
    return {**shown, "maximum": bid.maximum} if viewer == bid.bidder_id else shown
