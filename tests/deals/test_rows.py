"""Who sees what: sellers their own deals, buyers those of sellers that authorise them, others nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.accounts.models import Account
from apps.common.clock import rfc3339
from apps.deals.models import Authorization, Deal
from apps.deals.selectors import deals as selectors
from apps.deals.selectors.windows import Window
from apps.events.models import Event
from tests.conftest import MakeAccount, MakeClient
from tests.deals.conftest import BUYING, SELLING
from tests.deals.support import AUTHORIZATIONS, DEALS, Deals, body, ids
from tests.deals.test_authorizations import walk
from tests.support import ApiClient


@dataclass(frozen=True)
class Case:
    """Somebody, and the status that each call on the seller's deal has for them."""

    key: Callable[[MakeClient, ApiClient, ApiClient], ApiClient]
    read: int
    listed: bool
    write: int


CASES = {
    "the seller": Case(lambda api, seller, buyer: seller, 200, True, 200),
    "the seller's reading key": Case(
        lambda api, seller, buyer: api(*BUYING, account=seller.account), 200, True, 403
    ),
    "an authorised buyer": Case(lambda api, seller, buyer: buyer, 200, True, 403),
    "an authorised buyer that sells too": Case(
        lambda api, seller, buyer: api(*SELLING, account=buyer.account), 200, True, 404
    ),
    "another seller": Case(lambda api, seller, buyer: api(*SELLING), 404, False, 404),
    "another buyer": Case(lambda api, seller, buyer: api(*BUYING), 404, False, 403),
    "a key for something else": Case(
        lambda api, seller, buyer: api("orders:write", account=seller.account), 403, False, 403
    ),
}


@pytest.mark.parametrize("who", CASES)
def test_row_scope(
    who: str, api: MakeClient, seller: ApiClient, buyer: ApiClient, authorized: str, deals: Deals
) -> None:
    case, deal = CASES[who], deals()
    path, events = f"{DEALS}/{deal['id']}", Event.objects.count()
    client = case.key(api, seller, buyer)

    assert client.get(path).status_code == case.read
    if case.read != 403:
        assert (ids(client.get(DEALS)) == [deal["id"]]) is case.listed
        assert (ids(client.get(DEALS, seller="the-seller")) == [deal["id"]]) is case.listed
    if case.write != 200:
        assert client.put(path, body(name="Mine")).status_code == case.write
        assert client.patch(path, {"name": "Mine"}).status_code == case.write
        assert client.delete(path).status_code == case.write
        assert seller.get(path).json() == deal
        assert Event.objects.count() == events
    else:
        assert client.patch(path, {"name": "Mine"}).status_code == 200


def test_authorization_is_no_two_way_street(
    api: MakeClient, seller: ApiClient, buyer: ApiClient, authorized: str
) -> None:
    theirs = api(*SELLING, account=buyer.account).post(DEALS, body()).json()

    assert seller.get(f"{DEALS}/{theirs['id']}").status_code == 404
    assert ids(seller.get(DEALS)) == []
    assert ids(buyer.get(DEALS)) == [theirs["id"]]


def test_filters(seller: ApiClient, buyer: ApiClient, authorized: str, deals: Deals) -> None:
    cheap = deals(total_price=100)
    dear = deals(total_price=1_000, discount={"type": "percentage", "amount": 50}, currency="USD")
    gone = deals(total_price=300)
    seller.delete(f"{DEALS}/{gone['id']}")
    cheap = seller.patch(f"{DEALS}/{cheap['id']}", {"name": "Last changed"}).json()
    everything = [gone["id"], dear["id"], cheap["id"]]

    for client in (seller, buyer):

        def found(client: ApiClient = client, **query: Any) -> list[str]:
            return ids(client.get(DEALS, **query))

        assert found() == everything
        assert found(status="available") == [dear["id"], cheap["id"]]
        assert found(status="withdrawn") == [gone["id"]]
        assert found(status="sold") == []
        assert found(currency="USD") == [dear["id"]]
        assert found(min_price=300) == [gone["id"], dear["id"]]
        assert found(max_price=300) == [gone["id"], cheap["id"]]
        assert found(min_price=300, max_price=300) == [gone["id"]]
        assert found(min_price=400, max_price=300) == []
        assert found(updated_after=dear["created_at"]) == [gone["id"], cheap["id"]]
        assert found(updated_after=cheap["updated_at"]) == []
        assert found(seller="the-seller") == everything
        assert found(seller=str(seller.account.id), status="withdrawn") == [gone["id"]]
        assert found(seller="the-buyer") == []
        assert found(seller="nobody") == []


@pytest.mark.parametrize(
    "query",
    [
        {"status": "open"},
        {"currency": "eur"},
        {"min_price": "ten"},
        {"min_price": -1},
        {"max_price": 10**30},
        {"max_price": "9" * 2000},
        {"updated_after": "yesterday"},
        {"updated_after": "0001-01-01T00:00:00+14:00"},
        {"updated_after": "9999-12-31T23:59:59-14:00"},
        {"seller": "a\0b"},
        {"seller": ""},
        {"seller": "x" * 64},
        {"limit": 0},
        {"limit": 201},
        {"cursor": "x"},
        {"colour": "red"},
    ],
)
def test_wrong_parameters_are_400(seller: ApiClient, query: dict[str, Any]) -> None:
    answer = seller.get(DEALS, **query)

    assert answer.status_code == 400
    assert [fault["parameter"] for fault in answer.json()["errors"]] == list(query)


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_of_several_sellers_are_merged_newest_first(api: MakeClient, limit: int) -> None:
    buyer = api(*SELLING)
    expected: list[str] = []
    sellers = [api(*SELLING) for _ in range(3)]
    for client in sellers:
        client.post(AUTHORIZATIONS, {"buyer": buyer.account.slug})
    for number in (0, 1, 2, 2, 2, 1, 0):
        expected.insert(0, sellers[number].post(DEALS, body()).json()["id"])
    expected.insert(0, buyer.post(DEALS, body()).json()["id"])
    api(*SELLING).post(DEALS, body())

    assert list(chain.from_iterable(walk(buyer, DEALS, limit=limit))) == expected


def test_page_costs_the_same_number_of_queries_however_many_sellers(
    api: MakeClient, django_assert_num_queries: Any
) -> None:
    buyer = api(*BUYING)
    window = Window(51)

    for _ in range(2):
        for client in [api(*SELLING) for _ in range(3)]:
            client.post(AUTHORIZATIONS, {"buyer": buyer.account.slug})
            client.post(DEALS, body())
        with django_assert_num_queries(1):
            list(selectors.visible_deals(buyer.account.id, filters={}, window=window))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    owners=st.lists(st.integers(0, 4), max_size=25),
    granted=st.sets(st.integers(1, 4)),
    limit=st.integers(1, 6),
    beyond=st.none() | st.integers(0, 24),
    backwards=st.booleans(),
    sold=st.sets(st.integers(0, 24)),
    status=st.sampled_from([None, "sold", "available"]),
)
def test_window_holds_what_a_plain_query_finds(
    make_account: MakeAccount,
    owners: list[int],
    granted: set[int],
    limit: int,
    beyond: int | None,
    backwards: bool,
    sold: set[int],
    status: str | None,
) -> None:
    accounts = [make_account() for _ in range(5)]
    me, moment = accounts[0], datetime(2026, 1, 1, tzinfo=UTC)
    for number in granted:
        Authorization.objects.create(seller=accounts[number], buyer=me)
    rows = [plain_deal(accounts[owner], number in sold) for number, owner in enumerate(owners)]
    Deal.objects.bulk_create(rows)
    start = rows[beyond].pk if beyond is not None and beyond < len(rows) else None
    filters = {"updated_after": moment, **({"status": status} if status else {})}

    window = Window(limit, start, backwards)
    found = selectors.visible_deals(me.id, filters=filters, window=window)

    seen = {accounts[number].id for number in granted} | {me.id}
    plain = Deal.objects.filter(seller_id__in=seen, updated_at__gt=moment)
    if status:
        plain = plain.filter(status=status)
    assert list(window.of(found)) == list(window.of(plain)), rfc3339(moment)


def plain_deal(seller: Account, is_sold: bool) -> Deal:
    return Deal(
        seller=seller,
        name="A deal",
        currency="EUR",
        total_price=1,
        final_price=1,
        status="sold" if is_sold else "available",
    )
