"""The rules of an auction: an English one with proxy bids, in whole minor units.

Each bidder has one bid: what it offers at once, and the maximum up to which it lets itself be bid up.
The highest maximum leads, of equal ones the earliest. The leader pays no more than it takes: one
increment above the second highest maximum, or its whole maximum when that is less.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from apps.common.errors import Fault


class Auction(NamedTuple):
    """The terms. Amounts are in the deal's currency; `reserve` is the seller's secret.

    A bid in the last `extension_seconds` puts the end off to that long after the bid. A bid of `buy_now`
    ends the auction at once.
    """

    ends_at: datetime
    minimum: int
    increment: int
    reserve: int | None = None
    buy_now: int | None = None
    extension_seconds: int = 0


class Offer(NamedTuple):
    """What a bid in an auction says; offers are compared in the order of their making."""

    offered: int
    maximum: int


class Standing(NamedTuple):
    """Who leads among some offers (an index into them), and the price that it would pay now."""

    leader: int
    price: int


def auction_fault(auction: Auction, at: datetime) -> Fault | None:
    """What is wrong with terms that are set at the time `at`; None when nothing is."""
    if auction.ends_at <= at:
        return Fault("/auction/ends_at", "in_the_past", "An auction ends in the future.")
    for name in ("reserve", "buy_now"):
        amount = getattr(auction, name)
        if amount is not None and amount < auction.minimum:
            detail = f"It may not be below the minimum, {auction.minimum}."
            return Fault(f"/auction/{name}", "below_minimum", detail)
    if auction.buy_now is not None and auction.buy_now < (auction.reserve or 0):
        detail = "The price of buying now may not be below the reserve."
        return Fault("/auction/buy_now", "below_reserve", detail)
    return None


def standing(offers: Sequence[Offer], auction: Auction) -> Standing:
    """How an auction stands with these offers of different bidders, one at least, earliest first.

    A leader that reaches the reserve bids at least the reserve: only then can it win. Nobody pays more
    than the price for which it could buy at once.
    """
    leader = max(range(len(offers)), key=lambda index: (offers[index].maximum, -index))
    best = offers[leader]
    others = [offer.maximum for index, offer in enumerate(offers) if index != leader]
    price = max(best.offered, auction.minimum)
    if others:
        price = max(price, min(best.maximum, max(others) + auction.increment))
    if auction.reserve is not None and best.maximum >= auction.reserve:
        price = max(price, auction.reserve)
    return Standing(leader, price)


def least_bid(auction: Auction, price: int | None) -> int:
    """The least maximum with which somebody else can bid at the present price (None: no bid yet)."""
    return auction.minimum if price is None else price + auction.increment


def is_reserve_met(auction: Auction, price: int | None) -> bool:
    """Whether the auction would sell at this price."""
    return price is not None and price >= (auction.reserve or 0)
