"""Keys: shown once, never more than the key that issued them, ended for good."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from apps.accounts.models import ApiKey
from apps.common import clock
from apps.common.clock import rfc3339
from tests.conftest import MakeClient, MakeKey
from tests.support import ApiClient, concurrently
from tests.support.problems import assert_problem

KEYS = "/api/v1/api-keys"


def issue(client: ApiClient, *scopes: str, **body: Any) -> dict[str, Any]:
    answer = client.post(KEYS, {"name": "new", "scopes": scopes or ["orders:read"], **body})
    assert answer.status_code == 201, answer.content
    made: dict[str, Any] = answer.json()
    return made


def as_client(client: ApiClient, issued: dict[str, Any]) -> ApiClient:
    key = ApiKey.objects.get(pk=issued["id"])
    return ApiClient(client.account, key, issued["api_key"])


@pytest.mark.parametrize("longer", [timedelta(seconds=1), None])
def test_a_key_with_an_end_makes_none_that_outlives_it(
    api: MakeClient, longer: timedelta | None
) -> None:
    end = clock.now() + timedelta(days=1)
    client = api(expires_at=end)
    wanted = None if longer is None else rfc3339(end + longer)

    answer = client.post(KEYS, {"name": "x", "scopes": ["orders:read"], "expires_at": wanted})

    assert_problem(answer, 400)
    assert answer.json()["errors"][0]["code"] == "outlives_issuer"
    assert issue(client, expires_at=rfc3339(end))["expires_at"] == rfc3339(end)


def test_a_key_with_an_end_does_not_rotate_one_without(api: MakeClient) -> None:
    endless = api()
    ending = api(account=endless.account, expires_at=clock.now() + timedelta(days=1))

    answer = ending.post(f"{KEYS}/{endless.key.pk}/rotate", {"overlap_seconds": 0})

    assert_problem(answer, 400)
    assert answer.json()["errors"][0]["code"] == "outlives_issuer"


def test_an_issued_key_works_with_its_scopes(someone: ApiClient) -> None:
    issued = issue(someone, "orders:read", "accounts:read")

    me = as_client(someone, issued).get("/api/v1/me").json()

    assert me["account"]["id"] == str(someone.account.id)
    assert me["key"] == {
        "id": issued["id"],
        "prefix": issued["prefix"],
        "name": "new",
        "scopes": ["accounts:read", "orders:read"],
        "expires_at": None,
    }
    assert issued["api_key"].startswith(f"{issued['prefix']}_")


def test_a_key_is_shown_once_and_stored_as_a_hash(someone: ApiClient) -> None:
    plain = issue(someone)["api_key"]
    secret = plain.rsplit("_", 1)[-1]

    listed = someone.get(KEYS)

    assert secret.encode() not in listed.content
    assert "api_key" not in listed.json()["results"][0]
    with connection.cursor() as cursor:
        cursor.execute("SELECT array_agg(k::text) FROM accounts_apikey k")
        (rows,) = cursor.fetchone()
    assert not [row for row in rows if secret in row]


def test_the_keys_of_an_account_are_listed_newest_first(api: MakeClient) -> None:
    client = api()
    issued = [issue(client)["id"] for _ in range(3)]
    issue(api())

    listed = [key["id"] for key in client.get(KEYS).json()["results"]]

    assert listed == [*reversed(issued), str(client.key.id)]


def test_write_implies_read_and_read_does_not_imply_write(api: MakeClient) -> None:
    reader, writer = api("accounts:read"), api("accounts:write")
    body = {"name": "new", "scopes": ["accounts:read"]}

    assert reader.get(KEYS).status_code == writer.get(KEYS).status_code == 200
    assert writer.post(KEYS, body).status_code == 201
    refused = reader.post(KEYS, body)
    assert_problem(refused, 403, "missing_scope")
    assert "accounts:write" in refused.json()["detail"]
    assert ApiKey.objects.filter(account=reader.account).count() == 1


def test_a_key_without_the_scope_is_refused(api: MakeClient) -> None:
    assert_problem(api("orders:write").get(KEYS), 403, "missing_scope")


@pytest.mark.parametrize(
    ("wanted", "is_held"),
    [
        (["orders:read"], True),
        (["deals:write", "deals:read"], True),
        (["accounts:read"], True),
        (["orders:write"], False),
        (["orders:read", "events:read"], False),
    ],
)
def test_a_key_issues_no_scope_that_it_lacks(
    api: MakeClient, wanted: list[str], is_held: bool
) -> None:
    client = api("accounts:write", "orders:read", "deals:write")

    answer = client.post(KEYS, {"name": "new", "scopes": wanted})

    if is_held:
        assert answer.status_code == 201
    else:
        assert_problem(answer, 400, "scopes_exceeded")
        assert {f["code"] for f in answer.json()["errors"]} == {"scope_not_held"}
        assert ApiKey.objects.filter(account=client.account).count() == 1


def test_a_key_does_not_rotate_into_a_stronger_one(api: MakeClient) -> None:
    weak = api("accounts:write")
    strong = api("accounts:write", "orders:write", account=weak.account)

    answer = weak.post(f"{KEYS}/{strong.key.id}/rotate", {})

    assert_problem(answer, 400, "scopes_exceeded")
    assert strong.get("/api/v1/me").status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"scopes": ["orders:read"]}, "/name", "required"),
        ({"name": "", "scopes": ["orders:read"]}, "/name", "blank"),
        ({"name": "x" * 101, "scopes": ["orders:read"]}, "/name", "max_length"),
        ({"name": "x"}, "/scopes", "required"),
        ({"name": "x", "scopes": []}, "/scopes", "min_length"),
        ({"name": "x", "scopes": "orders:read"}, "/scopes", "not_a_list"),
        ({"name": "x", "scopes": ["orders:read"] * 17}, "/scopes", "max_length"),
        ({"name": "x", "scopes": ["orders"]}, "/scopes/0", "invalid_choice"),
        ({"name": "x", "scopes": [["orders:read"]]}, "/scopes/0", "invalid_choice"),
        ({"name": "x", "scopes": ["orders:read"], "expires_at": 5}, "/expires_at", "invalid"),
        (
            {"name": "x", "scopes": ["orders:read"], "expires_at": "2020-01-01T00:00:00Z"},
            "/expires_at",
            "in_the_past",
        ),
        (
            {"name": "x", "scopes": ["orders:read"], "expires_at": "0001-01-01T00:00:00Z"},
            "/expires_at",
            "in_the_past",
        ),
        ({"name": "x", "scopes": ["nonsense"] * 50_000}, "/scopes", "max_length"),
        (
            {"name": "x", "scopes": ["orders:read"], "expires_at": "9999-12-31T23:59:59-14:00"},
            "/expires_at",
            "overflow",
        ),
        ({"name": "x", "scopes": ["orders:read"], "rate_limit": 9}, "/rate_limit", "unknown_field"),
    ],
)
def test_a_wrong_request_for_a_key_is_pointed_at(
    someone: ApiClient, body: dict[str, Any], pointer: str, code: str
) -> None:
    answer = someone.post(KEYS, body)

    assert_problem(answer, 400, "invalid")
    assert (pointer, code) in [(f["pointer"], f["code"]) for f in answer.json()["errors"]]


def test_a_key_may_have_an_end(someone: ApiClient) -> None:
    end = rfc3339(clock.now() + timedelta(days=30))

    assert issue(someone, expires_at=end)["expires_at"] == end


def test_a_revoked_key_stays_in_the_list(someone: ApiClient) -> None:
    issued = issue(someone)

    assert someone.delete(f"{KEYS}/{issued['id']}").status_code == 204

    listed = someone.get(KEYS).json()["results"][0]
    assert listed["id"] == issued["id"]
    assert listed["revoked_at"] is not None
    assert as_client(someone, issued).get("/api/v1/me").status_code == 401


def test_a_key_is_revoked_once(someone: ApiClient) -> None:
    path = f"{KEYS}/{issue(someone)['id']}"
    someone.delete(path)

    assert_problem(someone.delete(path), 409, "api_key_revoked")
    assert_problem(someone.post(f"{path}/rotate", {}), 409, "api_key_revoked")


def test_the_keys_of_others_are_not_there(api: MakeClient) -> None:
    mine, theirs = api(), api()
    path = f"{KEYS}/{theirs.key.id}"

    assert_problem(mine.delete(path), 404, "api_key_not_found")
    assert_problem(mine.post(f"{path}/rotate", {}), 404, "api_key_not_found")
    assert theirs.get("/api/v1/me").status_code == 200


def test_a_rotated_key_has_the_name_scopes_end_and_limit_of_the_old_one(api: MakeClient) -> None:
    end = clock.now() + timedelta(days=3)
    client = api("accounts:write", "orders:read", name="importer", rate_limit=77, expires_at=end)

    fresh = client.post(f"{KEYS}/{client.key.id}/rotate", {"overlap_seconds": 60}).json()

    assert fresh["name"] == "importer"
    assert fresh["scopes"] == ["accounts:write", "orders:read"]
    assert fresh["rate_limit"] == 77
    assert fresh["expires_at"] == rfc3339(end)
    assert fresh["id"] != str(client.key.id)


def test_a_key_is_rotated_once_and_its_successor_keeps_its_end(someone: ApiClient) -> None:
    """A retry after a lost answer must not get a key that ends with the overlap."""
    path = f"{KEYS}/{someone.key.id}/rotate"

    first = someone.post(path, {"overlap_seconds": 60})
    second = someone.post(path, {"overlap_seconds": 60})

    assert first.json()["expires_at"] is None
    assert_problem(second, 409, "api_key_rotated")


def test_a_key_that_has_ended_is_not_rotated(someone: ApiClient, make_key: MakeKey) -> None:
    ended = make_key(account=someone.account).record
    ApiKey.objects.filter(pk=ended.pk).update(expires_at=Now() - timedelta(seconds=1))

    answer = someone.post(f"{KEYS}/{ended.pk}/rotate", {})

    assert_problem(answer, 409, "api_key_expired")


def test_an_overlap_does_not_prolong_a_key(api: MakeClient) -> None:
    end = clock.now() + timedelta(seconds=30)
    client = api(expires_at=end)

    client.post(f"{KEYS}/{client.key.id}/rotate", {"overlap_seconds": 600})

    assert ApiKey.objects.get(pk=client.key.pk).expires_at == end


@pytest.mark.django_db(transaction=True)
def test_of_many_who_revoke_one_key_one_does(someone: ApiClient) -> None:
    path = f"{KEYS}/{issue(someone)['id']}"

    statuses = concurrently(6, lambda _: someone.delete(path).status_code)

    assert sorted(statuses) == [204] + [409] * 5
