"""The rules of an auction by themselves: who leads, at what price."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.deals.auctions import (
    Auction,
    Offer,
    auction_fault,
    is_reserve_met,
    least_bid,
    standing,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)

amounts = st.integers(1, 400)


@st.composite
def auctions(draw: st.DrawFn, /, **fixed: Any) -> Auction:
    minimum = draw(st.integers(1, 100))
    reserve = draw(st.none() | st.integers(minimum, 300))
    terms = {"minimum": minimum, "increment": draw(st.integers(1, 20)), "reserve": reserve}
    return Auction(**{"ends_at": LATER, **terms, **fixed})


@st.composite
def offers(draw: st.DrawFn, least: int = 1) -> Offer:
    offered = draw(st.integers(least, 400))
    return Offer(offered, draw(st.integers(offered, 500)))


@st.composite
def contests(draw: st.DrawFn) -> tuple[Auction, list[Offer]]:
    """An auction and offers that it takes, each a different bidder's, in the order of their making."""
    auction = draw(auctions())
    taken: list[Offer] = []
    for offer in draw(st.lists(offers(), min_size=1, max_size=8)):
        price = standing(taken, auction).price if taken else None
        if offer.maximum >= least_bid(auction, price):
            taken.append(offer)
    if not taken:
        taken.append(Offer(auction.minimum, auction.minimum))
    return auction, taken


@given(contests())
def test_highest_maximum_leads_the_earliest_of_equal_ones(
    contest: tuple[Auction, list[Offer]],
) -> None:
    auction, taken = contest

    leader, _ = standing(taken, auction)

    best = max(offer.maximum for offer in taken)
    assert leader == [offer.maximum for offer in taken].index(best)


@given(contests())
def test_price_is_between_what_it_takes_and_what_the_leader_would_give(
    contest: tuple[Auction, list[Offer]],
) -> None:
    auction, taken = contest

    leader, price = standing(taken, auction)

    best = taken[leader]
    others = [offer.maximum for index, offer in enumerate(taken) if index != leader]
    second = max(others, default=0)
    assert auction.minimum <= price <= best.maximum
    assert price >= best.offered
    if others:
        assert price >= min(best.maximum, second + auction.increment)
    reserve = auction.reserve or 0
    assert price <= max(best.offered, auction.minimum, second + auction.increment, reserve)
    assert is_reserve_met(auction, price) == (best.maximum >= reserve)


@given(contests(), offers())
def test_price_never_falls(contest: tuple[Auction, list[Offer]], next_one: Offer) -> None:
    auction, taken = contest
    before = standing(taken, auction)

    if next_one.maximum >= least_bid(auction, before.price):
        assert standing([*taken, next_one], auction).price >= before.price


@given(contests())
def test_only_the_two_highest_matter(contest: tuple[Auction, list[Offer]]) -> None:
    auction, taken = contest
    order = sorted(range(len(taken)), key=lambda index: (-taken[index].maximum, index))[:2]
    top = [taken[index] for index in sorted(order)]

    assert standing(top, auction).price == standing(taken, auction).price
    assert top[standing(top, auction).leader] == taken[standing(taken, auction).leader]


@given(st.data(), st.lists(st.integers(1, 30), unique=True, min_size=1, max_size=6))
def test_order_does_not_matter_to_maximums_that_are_apart(
    data: st.DataObject, steps: list[int]
) -> None:
    """Proxies that start at the minimum, two increments apart: nobody is refused but for being below
    the second, so the same two meet at the end whoever came first."""
    auction = data.draw(auctions(reserve=None))
    made = [
        Offer(auction.minimum, auction.minimum + 2 * step * auction.increment) for step in steps
    ]

    def result(order: list[Offer]) -> tuple[int, int]:
        taken: list[Offer] = []
        for offer in order:
            price = standing(taken, auction).price if taken else None
            if offer.maximum >= least_bid(auction, price):
                taken.append(offer)
        leader, price = standing(taken, auction)
        return taken[leader].maximum, price

    assert result(data.draw(st.permutations(made))) == result(made)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ([(100, 100)], (0, 100)),
        ([(100, 500)], (0, 100)),
        ([(250, 500)], (0, 250)),
        ([(50, 500)], (0, 100)),
        ([(100, 500), (200, 200)], (0, 210)),
        ([(100, 500), (495, 495)], (0, 500)),
        ([(100, 500), (500, 500)], (0, 500)),
        ([(100, 500), (100, 800)], (1, 510)),
        ([(100, 500), (700, 800)], (1, 700)),
    ],
)
def test_examples(made: list[tuple[int, int]], expected: tuple[int, int]) -> None:
    auction = Auction(LATER, minimum=100, increment=10)

    assert standing([Offer(*one) for one in made], auction) == expected


def test_a_leader_that_reaches_the_reserve_bids_it() -> None:
    auction = Auction(LATER, minimum=100, increment=10, reserve=300)

    assert standing([Offer(100, 299)], auction).price == 100
    assert standing([Offer(100, 300)], auction).price == 300
    assert standing([Offer(100, 900), Offer(400, 400)], auction).price == 410


@pytest.mark.parametrize(
    ("terms", "pointer", "code"),
    [
        ({"ends_at": NOW}, "/auction/ends_at", "in_the_past"),
        ({"reserve": 99}, "/auction/reserve", "below_minimum"),
        ({"buy_now": 99}, "/auction/buy_now", "below_minimum"),
        ({"reserve": 300, "buy_now": 299}, "/auction/buy_now", "below_reserve"),
    ],
)
def test_terms_that_cannot_be(terms: dict[str, Any], pointer: str, code: str) -> None:
    fault = auction_fault(Auction(LATER, 100, 10)._replace(**terms), NOW)

    assert fault is not None
    assert (fault.pointer, fault.code) == (pointer, code)


def test_terms_that_can_be() -> None:
    assert auction_fault(Auction(LATER, 100, 10, reserve=100, buy_now=100), NOW) is None
