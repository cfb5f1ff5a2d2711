"""A seller, a buyer that it authorised, a stranger, and what they send."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import MakeAccount, MakeClient
from tests.deals.support import AUTHORIZATIONS, DEALS, Deals, body
from tests.support import ApiClient

SELLING = ("deals:write", "events:read")
BUYING = ("deals:read", "events:read")
BIDDING = ("deals:read", "bids:write", "events:read")

MakeBidder = Callable[[], ApiClient]


@pytest.fixture
def seller(api: MakeClient, make_account: MakeAccount) -> ApiClient:
    return api(*SELLING, account=make_account("the-seller"))


@pytest.fixture
def buyer(api: MakeClient, make_account: MakeAccount) -> ApiClient:
    """Not authorised yet."""
    return api(*BUYING, account=make_account("the-buyer"))


@pytest.fixture
def authorized(seller: ApiClient, buyer: ApiClient) -> str:
    """The id of the seller's authorisation of the buyer."""
    answer = seller.post("/api/v1/authorizations", {"buyer": buyer.account.slug})
    assert answer.status_code == 201
    identifier: str = answer.json()["id"]
    return identifier


@pytest.fixture
def deals(seller: ApiClient) -> Deals:
    """Posts deals as the seller: `deals()`, `deals(total_price=5000)`."""

    def post(client: ApiClient = seller, **fields: Any) -> dict[str, Any]:
        answer = client.post(DEALS, body(**fields))
        assert answer.status_code == 201, answer.content
        deal: dict[str, Any] = answer.json()
        return deal

    return post


@pytest.fixture
def make_bidder(api: MakeClient, seller: ApiClient) -> MakeBidder:
    """Makes buyers that the seller authorises and that may bid."""

    def make() -> ApiClient:
        client = api(*BIDDING)
        assert seller.post(AUTHORIZATIONS, {"buyer": client.account.slug}).status_code == 201
        return client

    return make


@pytest.fixture
def bidder(make_bidder: MakeBidder) -> ApiClient:
    return make_bidder()


@pytest.fixture
def rival(make_bidder: MakeBidder) -> ApiClient:
    """Another bidder."""
    return make_bidder()
