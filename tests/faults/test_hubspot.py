"""A customer on its way to the simulated HubSpot that `make run` starts, through dying workers."""

import json
import signal
from typing import Any
from urllib.request import Request, urlopen

import pytest

from sandbox.demo import simulated_hubspot
from tests.support import wait_until
from tests.support.installation import Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CUSTOMERS = 150


def test_customers_reach_hubspot_though_the_worker_is_killed_in_the_middle(
    installation: Installation,
) -> None:
    hubspot = simulated_hubspot(installation.data_dir)
    crm = installation.client("crm")
    crm.call("PUT", "/crm/connection", {"access_token": "made-up"})
    control(hubspot, "POST", "hold")
    for number in range(CUSTOMERS):
        crm.call("POST", "/customers", {"email": f"c{number}@example.com"})
    wait_until(lambda: control(hubspot, "GET", "held")["held_up"], seconds=30)

    installation.signal("slow@", signal.SIGKILL)

    control(hubspot, "POST", "release")
    wait_until(
        lambda: not crm.call("GET", "/customers?state=pending&limit=1")["results"], seconds=120
    )
    contacts = control(hubspot, "GET", "contacts")["results"]
    emails = {contact["properties"]["email"] for contact in contacts}
    assert len(contacts) == len(emails) == CUSTOMERS


def control(hubspot: str, method: str, what: str, body: Any = None) -> Any:
    headers = {"Content-Type": "application/json"}
    data = json.dumps(body or {}).encode() if method != "GET" else None
    with urlopen(Request(f"{hubspot}/_control/{what}", data, headers, method=method)) as answer:
        return json.load(answer)
