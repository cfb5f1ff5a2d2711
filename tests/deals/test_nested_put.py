"""Any sequence of PUTs: the items are exactly those sent, and who sends an id keeps it."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.common.actor import Actor, ActorKind
from apps.deals.events.deals import deal_object
from apps.deals.models import Deal, DealHistory
from apps.deals.selectors.deals import own_deal
from apps.deals.services.deals import create_deal, edit_deal
from tests.conftest import MakeAccount
from tests.deals.support import body, published

SELLER = Actor(kind=ActorKind.API_KEY, id="1", label="tp_seller")

item = st.fixed_dictionaries({"name": st.sampled_from("abc"), "price": st.integers(0, 3)})
# An item of the present ones, by number, with what becomes of it; or a new one.
step = st.tuples(st.none() | st.integers(0, 6), item, st.booleans())
puts = st.lists(st.lists(step, min_size=1, max_size=6), max_size=5)


@pytest.mark.parametrize("examples", [12, pytest.param(60, marks=pytest.mark.slow)])
def test_items_are_exactly_those_sent(make_account: MakeAccount, examples: int) -> None:
    account = make_account()

    @settings(max_examples=examples)
    @given(st.lists(item, min_size=1, max_size=6), puts)
    def check(first: list[dict[str, Any]], puts: list[list[Any]]) -> None:
        are_exactly_those_sent(account.id, first, puts)

    check()


def are_exactly_those_sent(
    seller_id: UUID, first: list[dict[str, Any]], puts: list[list[Any]]
) -> None:
    deal = create_deal(seller_id=seller_id, terms=body(items=first), actor=SELLER)
    versions = 1

    for steps in puts:
        before = stored(deal)
        sent = resolve(before, steps)
        edit_deal(seller_id=seller_id, deal_id=deal.id, changes=body(items=sent), actor=SELLER)
        after = stored(deal)

        assert [(one["name"], one["price"]) for one in after] == [
            (one["name"], one["price"]) for one in sent
        ]
        for asked, got in zip(sent, after, strict=True):
            if "id" in asked:
                assert got["id"] == asked["id"]
            else:
                assert got["id"] not in {one["id"] for one in before}
        versions += before != after

    deal.refresh_from_db()
    assert deal.version == versions
    assert DealHistory.objects.filter(deal=deal).count() == versions
    assert len(published(str(deal.id))) == versions


def resolve(present: list[dict[str, Any]], steps: list[Any]) -> list[dict[str, Any]]:
    """The items to send; each present one at most once."""
    left = dict(enumerate(present))
    sent = []
    for number, new, is_altered in steps:
        old = left.pop(number, None)
        sent.append(new if old is None else {**old, **new} if is_altered else old)
    return sent


def stored(deal: Deal) -> list[dict[str, Any]]:
    shown = deal_object(own_deal(deal.seller_id, deal.id))["items"]
    return [{**one, "id": UUID(one["id"])} for one in shown]
