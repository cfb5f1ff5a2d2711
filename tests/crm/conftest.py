from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from sandbox.hubspot.server import Simulator
from tests.conftest import MakeClient
from tests.crm.support import Shop


@pytest.fixture
def hubspot(settings: Settings) -> Iterator[Simulator]:
    """A HubSpot of this test's own, which the settings point to."""
    with Simulator() as simulator:
        settings.HUBSPOT_BASE_URL = simulator.url
        yield simulator


@pytest.fixture
def shop(api: MakeClient, hubspot: Simulator) -> Shop:
    """An account connected to it; missing contacts are made."""
    return Shop(api(), hubspot)
