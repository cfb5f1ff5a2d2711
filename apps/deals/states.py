"""The life of a bid as one table: which step leads where, who may take it, and when.

Every service goes by it, for one bid or for many. A deal has few states; theirs are in `enums`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from apps.deals.enums import BidStatus
from apps.deals.errors import AuctionRunning, BidNotActive
from apps.deals.models import Bid, Deal

# Raises the error that closes this step to the bid, on its deal, at this time.
Guard = Callable[[Bid, Deal, datetime], None]


class Party(StrEnum):
    """On whose behalf a step is taken. The system acts when a time has come or a limit is reached."""

    SELLER = "seller"
    BIDDER = "bidder"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Step:
    """One step; a bid that does not exist yet has no `source`. `when` says in words what the guard and
    the system see to."""

    source: BidStatus | None
    target: BidStatus
    parties: frozenset[Party]
    when: str = "always"
    guard: Guard | None = None


def _has_not_expired(bid: Bid, deal: Deal, at: datetime) -> None:
    if bid.expires_at is not None and bid.expires_at <= at:
        raise BidNotActive("The bid has expired.")


def _may_be_accepted(bid: Bid, deal: Deal, at: datetime) -> None:
    _has_not_expired(bid, deal, at)
    if deal.auction is not None and deal.leading_bid_id != bid.id:
        raise AuctionRunning("In an auction you can only sell to the leading bid.")


def _may_be_countered(bid: Bid, deal: Deal, at: datetime) -> None:
    _has_not_expired(bid, deal, at)
    _is_no_auction(bid, deal, at)


def _is_no_auction(bid: Bid, deal: Deal, at: datetime) -> None:
    if deal.auction is not None:
        raise AuctionRunning("A bid in an auction is binding, and answered by its end.")


_SELLER = frozenset({Party.SELLER})
_BIDDER = frozenset({Party.BIDDER})
_SYSTEM = frozenset({Party.SYSTEM})

_GONE = "the deal was sold or withdrawn, or the bidder's authorization ended"
_NEXT = "it bids again"
_LAPSED = "its `expires_at` has come, or its auction ended unsold"

STEPS = (
    Step(None, BidStatus.ACTIVE, _BIDDER),
    Step(
        None,
        BidStatus.ACCEPTED,
        _SYSTEM,
        when="it takes the counter, reaches `auto_accept_at`, or buys now",
    ),
    Step(None, BidStatus.REJECTED, _SYSTEM, when="it is below `auto_reject_below`"),
    Step(
        BidStatus.ACTIVE,
        BidStatus.ACCEPTED,
        _SELLER,
        when="it has not expired; in an auction, it leads",
        guard=_may_be_accepted,
    ),
    Step(
        BidStatus.ACTIVE,
        BidStatus.ACCEPTED,
        _SYSTEM,
        when="it leads at the end of its auction, or at the price of buying now",
    ),
    Step(
        BidStatus.ACTIVE,
        BidStatus.COUNTERED,
        _SELLER,
        when="it has not expired; not in an auction",
        guard=_may_be_countered,
    ),
    Step(BidStatus.ACTIVE, BidStatus.REJECTED, _SELLER),
    Step(BidStatus.COUNTERED, BidStatus.REJECTED, _SELLER),
    Step(BidStatus.ACTIVE, BidStatus.REJECTED, _SYSTEM, when=_GONE),
    Step(BidStatus.COUNTERED, BidStatus.REJECTED, _SYSTEM, when=_GONE),
    Step(
        BidStatus.ACTIVE,
        BidStatus.WITHDRAWN,
        _BIDDER,
        when="not in an auction",
        guard=_is_no_auction,
    ),
    Step(BidStatus.COUNTERED, BidStatus.WITHDRAWN, _BIDDER),
    Step(BidStatus.ACTIVE, BidStatus.SUPERSEDED, _BIDDER, when=_NEXT),
    Step(BidStatus.COUNTERED, BidStatus.SUPERSEDED, _BIDDER, when=_NEXT),
    Step(BidStatus.ACTIVE, BidStatus.EXPIRED, _SYSTEM, when=_LAPSED),
    Step(BidStatus.COUNTERED, BidStatus.EXPIRED, _SYSTEM, when=_LAPSED),
)


def require_step(bid: Bid, deal: Deal, target: BidStatus, party: Party, at: datetime) -> None:
    """Raises BidNotActive or AuctionRunning unless the party may move the bid to `target`."""
    source = BidStatus(bid.status)
    for step in STEPS:
        if step.source is source and step.target is target and party in step.parties:
            if step.guard is not None:
                step.guard(bid, deal, at)
            return
    raise BidNotActive(f"The bid is {source.value} and cannot become {target.value}.")


def sources_of(target: BidStatus, party: Party) -> list[BidStatus]:
    """From where the party may move bids to `target`: for a step that many take at once."""
    return [
        step.source
        for step in STEPS
        if step.source is not None and step.target is target and party in step.parties
    ]


def describe() -> str:
    """The table for people, as Markdown."""
    rows = [
        f"| {f'`{step.source.value}`' if step.source else '(new)'} | `{step.target.value}` "
        f"| {', '.join(sorted(step.parties))} | {step.when} |"
        for step in STEPS
    ]
    return "\n".join(["| from | to | who | when |", "|---|---|---|---|", *rows])
