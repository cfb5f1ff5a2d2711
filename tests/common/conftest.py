"""Fixtures of the tests of what every app shares."""

import pytest

from tests.conftest import MakeClient
from tests.support import ApiClient


@pytest.fixture
def someone(api: MakeClient) -> ApiClient:
    """A client that may do everything, where it does not matter who it is."""
    return api()
