"""The mapping beside HubSpot's own list of properties: a finding for each property that is written."""

from typing import Any

import pytest

from apps.crm.hubspot.client import DEAL_ID
from apps.crm.services.checking import check_next
from sandbox.hubspot.server import Simulator
from tests.crm.support import TOKEN, Shop, pass_time, portal, states, sync
from tests.support import ApiClient

pytestmark = pytest.mark.django_db

CONNECTION = "/api/v1/crm/connection"


def look() -> None:
    while check_next():
        pass


def findings(shop: Shop) -> dict[str, tuple[str, str]]:
    """property -> (code, level), of those that are not in order."""
    told = shop.client.get(CONNECTION).json()["mapping_check"]
    assert all(one["detail"] for one in told["findings"] if one["code"] != "ok")
    found = {one["property"]: (one["code"], one["level"]) for one in told["findings"]}
    return {name: both for name, both in found.items() if both[0] != "ok"}


def test_every_change_of_the_connection_is_checked_without_anybody_waiting(
    shop: Shop, hubspot: Simulator
) -> None:
    told = shop.connect(mapping={"first_name": "firstname"})["mapping_check"]
    assert (told["pending"], told["checked_at"], told["ok"]) == (True, None, None)
    assert hubspot.calls == []

    look()

    told = shop.client.get(CONNECTION).json()["mapping_check"]
    assert (told["pending"], told["ok"], told["error"]) == (False, True, None)
    assert {
        "object": "contacts",
        "field": "first_name",
        "property": "firstname",
        "code": "ok",
        "level": "ok",
        "detail": "",
    } in told["findings"]
    assert findings(shop) == {DEAL_ID: ("will_be_made", "ok")}


PROPERTIES: list[tuple[str, dict[str, Any] | None, tuple[str, str]]] = [
    ("first_name", None, ("missing", "error")),
    ("first_name", {"archived": True}, ("archived", "error")),
    ("first_name", {"calculated": True}, ("calculated", "error")),
    ("first_name", {"modificationMetadata": {"readOnlyValue": True}}, ("read_only", "error")),
    ("first_name", {"type": "number"}, ("wrong_type", "error")),
    ("orders.count", {"type": "date"}, ("wrong_type", "error")),
    ("orders.total.EUR", {"type": "enumeration"}, ("wrong_type", "error")),
    ("orders.last_at", {"type": "number"}, ("wrong_type", "error")),
    ("orders.last_date", {"type": "datetime"}, ("wrong_type", "error")),
    ("properties.tier", {"type": "number"}, ("values_must_fit", "warning")),
    (
        "properties.tier",
        {"type": "enumeration", "options": [{"value": "gold"}, {"value": "silver"}]},
        ("values_must_fit", "warning"),
    ),
]


@pytest.mark.parametrize(("field", "described", "finding"), PROPERTIES)
def test_what_cannot_be_written_is_found(
    shop: Shop,
    hubspot: Simulator,
    field: str,
    described: dict[str, Any] | None,
    finding: tuple[str, str],
) -> None:
    if described is not None:
        hubspot.records.define("contacts", "target", **described)
    shop.connect(mapping={field: "target"}, send_deals=False)

    look()

    assert findings(shop) == {"target": finding}
    is_ok = finding[1] != "error"
    assert shop.client.get(CONNECTION).json()["mapping_check"]["ok"] is is_ok


def test_a_finding_names_the_options_there_are(shop: Shop, hubspot: Simulator) -> None:
    options = [{"value": "gold"}, {"value": "silver"}]
    hubspot.records.define("contacts", "tier", type="enumeration", options=options)
    shop.connect(mapping={"properties.tier": "tier"})

    look()

    told = shop.client.get(CONNECTION).json()["mapping_check"]["findings"]
    assert "gold, silver" in next(one["detail"] for one in told if one["property"] == "tier")


@pytest.mark.parametrize("field", ["orders.count", "orders.total.EUR", "orders.last_number"])
def test_figures_fit_numbers(shop: Shop, hubspot: Simulator, field: str) -> None:
    hubspot.records.define("contacts", "target", type="number")
    shop.connect(mapping={field: "target"}, send_deals=False)

    look()

    assert findings(shop) == {}


def test_deals_are_checked_too(shop: Shop, hubspot: Simulator) -> None:
    hubspot.records.define("deals", DEAL_ID)
    stages = [{"value": "closedwon"}]
    hubspot.records.define("deals", "dealstage", type="enumeration", options=stages)
    hubspot.records.define("deals", "amount", calculated=True, type="number")
    shop.connect()

    look()

    assert findings(shop) == {
        DEAL_ID: ("not_unique", "error"),
        "dealstage": ("unknown_option", "error"),
        "amount": ("calculated", "error"),
    }


def test_it_is_asked_for_again_when_something_changed_in_hubspot(
    shop: Shop, hubspot: Simulator
) -> None:
    shop.connect(mapping={"first_name": "nick"}, send_deals=False)
    look()
    assert findings(shop) == {"nick": ("missing", "error")}
    hubspot.records.define("contacts", "nick")

    asked = shop.client.post(f"{CONNECTION}/check")
    look()

    assert (asked.status_code, asked.json()["mapping_check"]["pending"]) == (202, True)
    assert findings(shop) == {}


def test_it_costs_a_call_for_each_kind_and_counts_in_the_budget(
    shop: Shop, hubspot: Simulator
) -> None:
    hubspot.records.define("deals", DEAL_ID, hasUniqueValue=True)

    look()

    assert [call.path for call in hubspot.calls] == [
        "/crm/properties/contacts",
        "/crm/properties/deals",
    ]
    assert portal().calls == 2


def test_without_a_connection_there_is_nothing_to_check(
    someone: ApiClient, hubspot: Simulator
) -> None:
    assert someone.post(f"{CONNECTION}/check").status_code == 404


def test_a_token_that_may_not_read_deals_pauses_nothing(shop: Shop, hubspot: Simulator) -> None:
    hubspot.settings.unscoped_path = "properties/deals"

    look()

    told = shop.client.get(CONNECTION).json()
    assert "crm.objects.deals" in told["mapping_check"]["error"]
    assert told["mapping_check"]["ok"] is False
    shop.add("ada@example.com")
    sync()
    assert states() == {"synced": 1}


def test_while_hubspot_does_not_answer_it_is_owed(shop: Shop, hubspot: Simulator) -> None:
    hubspot.settings.always = 503
    look()
    told = shop.client.get(CONNECTION).json()["mapping_check"]
    assert (told["pending"], told["checked_at"]) == (True, None)

    hubspot.settings.always = 0
    shop.client.post(f"{CONNECTION}/check")
    pass_time()
    look()

    assert shop.client.get(CONNECTION).json()["mapping_check"]["ok"] is True
    assert TOKEN not in shop.client.get(CONNECTION).content.decode()


def test_what_postgresql_cannot_hold_is_no_reason_to_look_for_ever(
    shop: Shop, hubspot: Simulator
) -> None:
    options = [{"value": "\0" + "x" * 5000}]
    hubspot.records.define("contacts", "tier", type="enumeration", options=options)
    shop.connect(mapping={"properties.tier": "tier"}, send_deals=False)

    look()

    told = shop.client.get(CONNECTION).json()["mapping_check"]
    assert (told["pending"], told["error"]) == (False, None)
    assert 900 < len(told["findings"][-1]["detail"]) <= 1000
