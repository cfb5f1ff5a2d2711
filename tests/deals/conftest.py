"""A seller, a buyer that it authorised, a stranger, and what they send."""

from typing import Any

import pytest

from tests.conftest import MakeAccount, MakeClient
from tests.deals.support import DEALS, Deals, body
from tests.support import ApiClient

SELLING = ("deals:write", "events:read")
BUYING = ("deals:read", "events:read")


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
