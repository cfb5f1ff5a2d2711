"""A household, and a stranger to it."""

from collections.abc import Callable

import pytest

from apps.accounts.services import ensure_account
from tests.architecture.household import Household
from tests.conftest import MakeAccount, MakeClient
from tests.support import ApiClient, Receiver

MakeHousehold = Callable[..., Household]


@pytest.fixture
def make_household(
    transactional_db: None, api: MakeClient, make_account: MakeAccount, receiver: Receiver
) -> MakeHousehold:
    """Makes households; a second one of the same client is made beside the first."""

    def make(client: ApiClient | None = None, number: int = 1) -> Household:
        ensure_account(slug=f"household-buyer-{number}")
        return Household(client or api(), receiver, f"household-buyer-{number}", number)

    return make


@pytest.fixture
def household(make_household: MakeHousehold) -> Household:
    return make_household()


@pytest.fixture
def stranger(household: Household, api: MakeClient) -> ApiClient:
    """Another account, whose key may do everything."""
    return api()
