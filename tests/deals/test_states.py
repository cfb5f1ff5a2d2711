"""The table of a bid's life is what decides, and what the documentation shows."""

import itertools
from pathlib import Path

import pytest

from apps.common import clock
from apps.deals.enums import OPEN, BidStatus
from apps.deals.errors import BidNotActive
from apps.deals.models import Bid, Deal
from apps.deals.states import STEPS, Party, describe, require_step, sources_of

PAGE = Path(__file__).parents[2] / "docs" / "deals.md"


def test_documentation_shows_the_table() -> None:
    assert describe() in PAGE.read_text()


@pytest.mark.parametrize(
    ("source", "target", "party"), list(itertools.product(BidStatus, BidStatus, Party))
)
@pytest.mark.django_db
def test_what_is_not_in_the_table_is_refused(
    source: BidStatus, target: BidStatus, party: Party
) -> None:
    listed = any(
        (step.source, step.target) == (source, target) and party in step.parties for step in STEPS
    )

    def take() -> None:
        require_step(Bid(status=source), Deal(), target, party, clock.now())

    if listed:
        take()
    else:
        with pytest.raises(BidNotActive):
            take()
    assert (source in sources_of(target, party)) is listed


def test_open_bids_are_those_that_can_go_on() -> None:
    assert {step.source for step in STEPS if step.source is not None} == set(OPEN)
