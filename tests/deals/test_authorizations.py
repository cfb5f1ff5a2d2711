"""Who may see whose deals, and that granting and revoking take effect at once."""

from typing import Any

import pytest

from apps.deals.models import Authorization
from apps.events.models import ChannelMember, Event
from tests.conftest import MakeAccount, MakeClient
from tests.deals.conftest import BUYING, SELLING
from tests.deals.support import AUTHORIZATIONS, DEALS, Deals, faults, ids, published, types
from tests.support import ApiClient, run_jobs


@pytest.mark.parametrize("by", ["slug", "id"])
def test_grant_names_the_buyer_by_slug_or_id(seller: ApiClient, buyer: ApiClient, by: str) -> None:
    answer = seller.post(AUTHORIZATIONS, {"buyer": str(getattr(buyer.account, by))})

    granted = answer.json()
    assert answer.status_code == 201
    assert granted == {
        "id": granted["id"],
        "seller": str(seller.account.id),
        "buyer": str(buyer.account.id),
        "created_at": granted["created_at"],
    }


def test_granting_again_is_200_with_the_same_and_no_event(
    seller: ApiClient, buyer: ApiClient
) -> None:
    first = seller.post(AUTHORIZATIONS, {"buyer": buyer.account.slug})
    again = seller.post(AUTHORIZATIONS, {"buyer": str(buyer.account.id)})

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert types(first.json()["id"]) == ["authorization.granted"]


@pytest.mark.parametrize(
    ("buyer", "code"),
    [
        ("nobody", "unknown_account"),
        ("01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a11", "unknown_account"),
        ("the-seller", "own_account"),
        ("", "blank"),
        ("x" * 64, "max_length"),
        (7, "invalid"),
        (None, "null"),
    ],
)
def test_buyer_that_cannot_be_is_400(seller: ApiClient, buyer: Any, code: str) -> None:
    assert faults(seller.post(AUTHORIZATIONS, {"buyer": buyer})) == {"/buyer": code}
    assert not Authorization.objects.exists()
    assert not ChannelMember.objects.exists()


def test_grant_and_revoke_take_effect_at_once(
    seller: ApiClient, buyer: ApiClient, deals: Deals
) -> None:
    deal = deals()
    path = f"{DEALS}/{deal['id']}"
    run_jobs()
    assert (buyer.get(path).status_code, ids(buyer.get(DEALS))) == (404, [])
    assert deal_events(buyer) == []

    granted = seller.post(AUTHORIZATIONS, {"buyer": buyer.account.slug}).json()
    assert (buyer.get(path).json(), ids(buyer.get(DEALS))) == (deal, [deal["id"]])
    assert deal_events(buyer) == ["deal.created"]

    assert seller.delete(f"{AUTHORIZATIONS}/{granted['id']}").status_code == 204
    assert (buyer.get(path).status_code, ids(buyer.get(DEALS))) == (404, [])
    assert ids(buyer.get(DEALS, seller=seller.account.slug)) == []
    assert deal_events(buyer) == []
    assert not ChannelMember.objects.exists()


def test_buyer_and_seller_hear_of_grant_and_revocation(
    seller: ApiClient, buyer: ApiClient, api: MakeClient, authorized: str
) -> None:
    seller.delete(f"{AUTHORIZATIONS}/{authorized}")
    run_jobs()

    told = ["authorization.granted", "authorization.revoked"]
    assert [one["type"] for one in published(authorized)] == told
    for client, expected in ((seller, told), (buyer, told), (api(*BUYING), [])):
        results = client.get("/api/v1/events", types="authorization.*").json()["results"]
        assert [one["type"] for one in results] == expected
    assert {event.account_id for event in Event.objects.all()} == {seller.account.id}


def test_revoked_buyer_can_be_authorized_again(
    seller: ApiClient, buyer: ApiClient, authorized: str, deals: Deals
) -> None:
    deal = deals()
    seller.delete(f"{AUTHORIZATIONS}/{authorized}")

    again = seller.post(AUTHORIZATIONS, {"buyer": buyer.account.slug})

    assert again.status_code == 201
    assert again.json()["id"] != authorized
    assert ids(buyer.get(DEALS)) == [deal["id"]]


def test_only_the_granting_seller_revokes(
    seller: ApiClient, buyer: ApiClient, api: MakeClient, authorized: str
) -> None:
    path = f"{AUTHORIZATIONS}/{authorized}"

    assert buyer.delete(path).status_code == 403
    assert api(*SELLING, account=buyer.account).delete(path).status_code == 404
    assert api(*SELLING).delete(path).status_code == 404
    assert Authorization.objects.filter(pk=authorized).exists()
    assert seller.delete(path).status_code == 204
    assert seller.delete(path).status_code == 404


def test_each_side_lists_its_own_page_by_page(api: MakeClient, make_account: MakeAccount) -> None:
    middle = api(*SELLING)
    others = [api(*SELLING) for _ in range(3)]
    expected = []
    for other in others:
        for client, buyer in ((middle, other), (other, middle)):
            granted = client.post(AUTHORIZATIONS, {"buyer": buyer.account.slug})
            expected.append(granted.json()["id"])
    newest_first = sorted(expected, reverse=True)

    assert ids(middle.get(AUTHORIZATIONS)) == newest_first
    assert walk(middle, AUTHORIZATIONS, limit=4) == [newest_first[:4], newest_first[4:]]
    assert sorted(ids(others[0].get(AUTHORIZATIONS))) == sorted(expected[:2])
    assert ids(api(*BUYING).get(AUTHORIZATIONS)) == []


def deal_events(client: ApiClient) -> list[str]:
    results = client.get("/api/v1/events", types="deal.*").json()["results"]
    return [one["type"] for one in results]


def walk(client: ApiClient, path: str, **query: Any) -> list[list[str]]:
    """All pages on the way to the end; the way back must show the same."""
    answer = client.get(path, **query).json()
    pages = [[row["id"] for row in answer["results"]]]
    while answer["next"]:
        answer = client.get(answer["next"]).json()
        pages.append([row["id"] for row in answer["results"]])
    back = [pages[-1]]
    while answer["previous"]:
        answer = client.get(answer["previous"]).json()
        back.insert(0, [row["id"] for row in answer["results"]])
    assert back == pages
    return pages
