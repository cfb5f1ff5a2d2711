"""The simulated HubSpot itself, where what we prove with it depends on it."""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from sandbox.hubspot.server import Simulator

CONTACTS = "/crm/v3/objects/contacts"


@pytest.fixture
def hubspot() -> Any:
    with Simulator() as simulator:
        yield simulator


def ask(hubspot: Simulator, method: str, path: str, body: Any = None) -> tuple[int, Any, Any]:
    """Status, body and headers."""
    headers = {"Authorization": "Bearer t", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(hubspot.url + path, data, headers, method=method)) as answer:
            return answer.status, json.load(answer), answer.headers
    except HTTPError as error:
        with error:
            return error.code, json.load(error), error.headers


def test_it_counts_by_three_policies(hubspot: Simulator) -> None:
    hubspot.settings.change(rate_limit=2)
    policies = [ask(hubspot, "GET", CONTACTS)[1].get("policyName") for _ in range(3)]
    assert policies == [None, None, "TEN_SECONDLY_ROLLING"]

    hubspot.settings.change(rate_limit=100, secondly_limit=0)
    assert ask(hubspot, "GET", CONTACTS)[1]["policyName"] == "SECONDLY"

    hubspot.settings.change(secondly_limit=None, daily_limit=0)
    status, body, _ = ask(hubspot, "GET", CONTACTS)
    assert (status, body["policyName"]) == (429, "DAILY")
    assert "category" not in body


def test_searches_have_a_limit_of_their_own(hubspot: Simulator) -> None:
    body = {
        "filterGroups": [{"filters": [{"propertyName": "email", "operator": "EQ", "value": "x"}]}]
    }
    statuses = [ask(hubspot, "POST", f"{CONTACTS}/search", body)[0] for _ in range(6)]

    assert statuses == [200] * 5 + [429]


def test_dated_paths_are_the_same_place(hubspot: Simulator) -> None:
    contact = hubspot.add_contact("ada@example.com")

    status, body, headers = ask(hubspot, "GET", f"/crm/objects/2026-09/contacts/{contact.id}")

    assert (status, body["properties"]["email"]) == (200, "ada@example.com")
    assert headers["X-HubSpot-RateLimit-Max"] == "100"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([{"id": "1", "properties": {}}] * 2, "Duplicate IDs"),
        ([{"id": str(n), "properties": {}} for n in range(101)], "maximum batch size"),
    ],
    ids=["twice", "101"],
)
def test_a_batch_that_cannot_be_is_refused_as_a_whole(
    hubspot: Simulator, inputs: Any, message: str
) -> None:
    status, body, _ = ask(hubspot, "POST", f"{CONTACTS}/batch/update", {"inputs": inputs})

    assert status == 400
    assert message in body["message"]


def test_it_holds_deals_and_their_contacts(hubspot: Simulator) -> None:
    contact = hubspot.add_contact("ada@example.com")
    deal = {"properties": {"dealname": "Tickets"}, "associations": [{"to": {"id": contact.id}}]}

    status, made, _ = ask(hubspot, "POST", "/crm/v3/objects/deals", deal)

    assert status == 201
    assert ("deals", made["id"], "contacts", contact.id) in hubspot.records.associations


def test_it_is_minded_over_http(hubspot: Simulator) -> None:
    assert ask(hubspot, "PATCH", "/_control/settings", {"always": 503})[0] == 200
    assert ask(hubspot, "GET", CONTACTS)[0] == 503
    assert ask(hubspot, "PATCH", "/_control/settings", {"nonsense": 1})[0] == 400
    assert ask(hubspot, "POST", "/_control/reset", {})[0] == 200
    script = {"answers": [{"status": 418, "body": {"message": "teapot"}}]}
    assert ask(hubspot, "POST", "/_control/answers", script)[0] == 200

    assert [ask(hubspot, "GET", CONTACTS)[0] for _ in range(2)] == [418, 200]
    calls = ask(hubspot, "GET", "/_control/calls")[1]["calls"]
    assert [call["status"] for call in calls] == [418, 200]
