"""Several at once: nothing is lost, doubled or half done."""

from itertools import chain
from typing import Any

import pytest

from apps.deals.models import Authorization, Deal, DealHistory, DealItem
from apps.events.models import ChannelMember, Event
from tests.deals.support import AUTHORIZATIONS, DEALS, Deals, body, types
from tests.support import ApiClient, concurrently

pytestmark = pytest.mark.django_db(transaction=True)


def test_of_two_puts_with_if_match_one_is_stale(seller: ApiClient, deals: Deals) -> None:
    path = f"{DEALS}/{deals()['id']}"

    answers = concurrently(
        8,
        lambda n: seller.put(path, body(name=f"By {n}"), headers={"If-Match": '"1"'}),
    )

    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    winner = next(answer for answer in answers if answer.status_code == 200)
    assert seller.get(path).json() == winner.json()
    assert (Deal.objects.get().version, DealHistory.objects.count()) == (2, 2)


def test_puts_without_a_condition_all_count(seller: ApiClient, deals: Deals) -> None:
    deal = deals()
    path = f"{DEALS}/{deal['id']}"

    def put(n: int) -> Any:
        items = [*deal["items"], {"name": f"Of {n}", "price": n}]
        return seller.put(path, body(name=f"By {n}", items=items))

    answers = concurrently(8, put)

    assert [answer.status_code for answer in answers] == [200] * 8
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 10))
    last = max((answer.json() for answer in answers), key=lambda one: int(one["version"]))
    assert seller.get(path).json() == last
    assert DealItem.objects.count() == 3
    assert types(deal["id"]) == ["deal.created"] + ["deal.updated"] * 8


@pytest.mark.parametrize("turns", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_deal_and_items_are_always_of_one_moment(
    seller: ApiClient, deals: Deals, turns: int
) -> None:
    deal = deals(name="0", items=[{"name": "0", "price": 0}] * 20)
    path = f"{DEALS}/{deal['id']}"

    def work(n: int) -> list[dict[str, Any]]:
        if n == 0:
            return [seller.get(path).json() for _ in range(4 * turns)]
        if n == 1:
            return [seller.get(DEALS).json()["results"][0] for _ in range(4 * turns)]
        names = [f"{n}.{turn}" for turn in range(turns)]
        items = [[{"name": name, "price": 0}] * 20 for name in names]
        return [
            seller.put(path, body(name=name, items=its)).json()
            for name, its in zip(names, items, strict=True)
        ]

    for shown in chain.from_iterable(concurrently(4, work)):
        assert [item["name"] for item in shown["items"]] == [shown["name"]] * 20


def test_put_against_delete(seller: ApiClient, deals: Deals) -> None:
    for _ in range(5):
        deal = deals()
        path = f"{DEALS}/{deal['id']}"

        def work(n: int, path: str = path) -> Any:
            return seller.put(path, body(name="Changed")) if n == 0 else seller.delete(path)

        put, delete = concurrently(2, work)

        assert delete.status_code == 204
        assert seller.get(path).json()["status"] == "withdrawn"
        if put.status_code == 200:
            assert types(deal["id"]) == ["deal.created", "deal.updated", "deal.withdrawn"]
        else:
            assert (put.status_code, put.json()["code"]) == (409, "deal_closed")
            assert types(deal["id"]) == ["deal.created", "deal.withdrawn"]


def test_deal_is_closed_once(seller: ApiClient, deals: Deals) -> None:
    deal = deals()
    path = f"{DEALS}/{deal['id']}"

    answers = concurrently(
        8,
        lambda n: seller.delete(path) if n % 2 else seller.patch(path, {"status": "sold"}),
    )

    assert sorted(answer.status_code for answer in answers)[1:] == [409] * 7
    assert len(types(deal["id"])) == 2


def test_grants_at_once_make_one(seller: ApiClient, buyer: ApiClient) -> None:
    answers = concurrently(8, lambda n: seller.post(AUTHORIZATIONS, {"buyer": buyer.account.slug}))

    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (Authorization.objects.count(), ChannelMember.objects.count()) == (1, 1)
    assert Event.objects.count() == 1


def test_grants_and_revocations_at_once_leave_member_and_authorization_alike(
    seller: ApiClient, buyer: ApiClient
) -> None:
    def work(n: int) -> int:
        granted = seller.post(AUTHORIZATIONS, {"buyer": buyer.account.slug})
        assert granted.status_code in (200, 201)
        revoked = seller.delete(f"{AUTHORIZATIONS}/{granted.json()['id']}")
        assert revoked.status_code in (204, 404)
        return int(revoked.status_code == 204)

    for _ in range(3):
        revoked = sum(concurrently(8, work))

        assert Authorization.objects.count() == ChannelMember.objects.count() == 0
        granted = Event.objects.filter(type="authorization.granted")
        assert granted.count() >= revoked
    told = Event.objects.values_list("type", flat=True).order_by("sequence")
    assert list(told) == ["authorization.granted", "authorization.revoked"] * (len(told) // 2)
