"""GET and PATCH /me: who am I, and what stands on my invoices."""

from typing import Any

import pytest

from tests.conftest import MakeAccount, MakeClient
from tests.support import ApiClient
from tests.support.problems import assert_problem

ME = "/api/v1/me"

DETAILS = {
    "name": "Shop & Söhne",
    "legal_name": "Shop & Söhne GmbH",
    "address": "Straße 1\n12345 Ort",
    "email": "accounts@shop.example",
    "tax_id": "DE123456789",
    "tax_rate": 19.5,
}


def test_any_key_may_ask_who_it_is(make_account: MakeAccount, api: MakeClient) -> None:
    account = make_account("shop", name="Shop")
    client = api("orders:read", account=account)

    answer = client.get(ME)

    assert answer.status_code == 200
    assert answer.json()["account"]["slug"] == "shop"
    assert answer.json()["key"]["scopes"] == ["orders:read"]


def test_details_are_changed_together(someone: ApiClient) -> None:
    answer = someone.patch(ME, DETAILS)

    account = answer.json()["account"]
    assert answer.status_code == 200
    assert {name: account[name] for name in DETAILS} == DETAILS
    assert account["version"] == 2
    assert account["updated_at"] > account["created_at"]
    assert someone.get(ME).json()["account"] == account


def test_what_is_not_sent_stays(someone: ApiClient) -> None:
    someone.patch(ME, DETAILS)

    account = someone.patch(ME, {"tax_id": ""}).json()["account"]

    assert {name: account[name] for name in DETAILS} == {**DETAILS, "tax_id": ""}


def test_a_change_is_answered_with_the_account_also_when_it_is_known(someone: ApiClient) -> None:
    tag = someone.get("/api/v1/me").headers["ETag"]

    answer = someone.patch("/api/v1/me", {}, headers={"If-None-Match": tag})

    assert (answer.status_code, answer.headers["ETag"]) == (200, tag)
    assert answer.json() == someone.get("/api/v1/me").json()


def test_nothing_sent_changes_nothing(someone: ApiClient) -> None:
    assert someone.patch(ME, {}).json()["account"]["version"] == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", ""),
        ("name", None),
        ("name", "x" * 201),
        ("legal_name", 5),
        ("address", "x" * 2001),
        ("email", "nobody"),
        ("email", "x" * 250 + "@a.example"),
        ("tax_id", ["x"]),
        ("tax_rate", -0.01),
        ("tax_rate", 100.01),
        ("tax_rate", 1.001),
        ("tax_rate", 1e9),
        ("tax_rate", "19.00"),
        ("tax_rate", True),
        ("tax_rate", None),
    ],
)
def test_a_wrong_detail_is_refused_and_nothing_is_changed(
    someone: ApiClient, name: str, value: Any
) -> None:
    answer = someone.patch(ME, {**DETAILS, name: value})

    assert_problem(answer, 400, "invalid")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [f"/{name}"]
    assert someone.get(ME).json()["account"]["version"] == 1


def test_changing_it_needs_the_scope(api: MakeClient) -> None:
    client = api("accounts:read", "orders:write")

    assert_problem(client.patch(ME, DETAILS), 403, "missing_scope")
    assert client.get(ME).json()["account"]["version"] == 1
