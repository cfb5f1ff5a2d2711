"""The commands that issue keys and seed the demo accounts."""

import json
import stat
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from apps.accounts.models import Account, ApiKey

pytestmark = pytest.mark.django_db


def issue_key(*arguments: str) -> str:
    out = StringIO()
    call_command("issue_key", *arguments, stdout=out)
    return out.getvalue().strip()


def whoami(key: str) -> dict[str, Any]:
    answer: dict[str, Any] = Client().get("/api/v1/me", headers={"X-API-Key": key}).json()
    return answer


def test_issue_key_makes_the_account_and_prints_the_key_as_json() -> None:
    printed = json.loads(
        issue_key("--account", "shop", "--scopes", "orders:write deals:read", "--json")
    )

    me = whoami(printed["api_key"])
    assert printed.keys() == {"account_id", "api_key"}
    assert me["account"]["id"] == printed["account_id"]
    assert me["account"]["slug"] == "shop"
    assert me["key"]["scopes"] == ["deals:read", "orders:write"]


def test_issue_key_prints_the_bare_key_and_keeps_an_account_that_is_there() -> None:
    first = issue_key("--account", "shop", "--scopes", "orders:read", "--rate-limit", "7")
    second = issue_key("--account", "shop", "--scopes", "orders:read")

    assert whoami(first)["account"] == whoami(second)["account"]
    assert set(ApiKey.objects.values_list("rate_limit", flat=True)) == {7, 1000}


@pytest.mark.parametrize(
    ("account", "scopes", "said"),
    [
        ("no slug", "orders:read", "--account"),
        ("shop", "orders", "There is no scope orders"),
        ("shop", "orders:read nonsense:write", "There is no scope nonsense:write"),
    ],
)
def test_issue_key_refuses_with_a_reason(account: str, scopes: str, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        issue_key("--account", account, "--scopes", scopes)

    assert not ApiKey.objects.exists()


def seed(output: Path, base_url: str = "http://127.0.0.1:8000") -> dict[str, Any]:
    call_command("seed_demo", base_url=base_url, output=output, admin_password="")
    demo: dict[str, Any] = json.loads(output.read_text())
    return demo


def test_seed_demo_makes_what_the_contract_promises(tmp_path: Path) -> None:
    demo = seed(tmp_path / "demo.json")

    assert demo["base_url"] == "http://127.0.0.1:8000"
    signed_in = Client().post("/admin/login/", demo["admin"])
    assert (signed_in.status_code, signed_in.headers["Location"]) == (302, "/admin/")
    scopes = {
        slug: whoami(account["api_key"])["key"]["scopes"]
        for slug, account in demo["accounts"].items()
    }
    everyone = ["accounts:read", "events:read", "webhooks:write"]
    assert scopes == {
        "storefront": sorted([*everyone, "orders:write", "customers:write"]),
        "seller": sorted([*everyone, "deals:write"]),
        "buyer": sorted([*everyone, "deals:read", "bids:write"]),
        "other-buyer": sorted([*everyone, "deals:read", "bids:write"]),
        "data": sorted([*everyone, "streams:write"]),
        "crm": sorted([*everyone, "customers:write"]),
    }
    assert set(ApiKey.objects.values_list("rate_limit", flat=True)) == {100_000}


def test_the_keys_of_the_demo_are_for_their_owner_alone(tmp_path: Path) -> None:
    output = tmp_path / "demo.json"

    seed(output)

    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["demo.json"]


def test_seeding_again_keeps_everything(tmp_path: Path) -> None:
    output = tmp_path / "demo.json"
    first = seed(output)

    assert seed(output) == first
    assert ApiKey.objects.count() == len(first["accounts"])


def test_the_demo_follows_a_new_port(tmp_path: Path) -> None:
    output = tmp_path / "demo.json"
    first = seed(output)

    assert seed(output, "http://127.0.0.1:9000") == {**first, "base_url": "http://127.0.0.1:9000"}
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


def test_a_demo_of_a_database_that_is_gone_is_made_anew(tmp_path: Path) -> None:
    output = tmp_path / "demo.json"
    first = seed(output)
    Account.objects.all().delete()

    second = seed(output)

    assert second["accounts"]["seller"] != first["accounts"]["seller"]
    assert whoami(second["accounts"]["seller"]["api_key"])["account"]["slug"] == "seller"
