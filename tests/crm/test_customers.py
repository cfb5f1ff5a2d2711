"""Customers through the API: local writes that wait for nobody."""

from typing import Any

import pytest

from sandbox.hubspot.server import Simulator
from tests.crm.support import Shop, states, sync, told
from tests.support import ApiClient, concurrently

pytestmark = pytest.mark.django_db

CUSTOMERS = "/api/v1/customers"


def test_a_customer_is_answered_from_the_local_write_alone(shop: Shop, hubspot: Simulator) -> None:
    ada = shop.add("Ada@Example.COM", first_name="Ada", external_id="c-1", properties={"tier": "a"})

    assert ada["email"] == "ada@example.com"
    assert ada["properties"] == {"tier": "a"}
    assert ada["crm"] == {"state": "pending", "contact_id": None, "synced_at": None, "error": None}
    assert ada["version"] == 1
    assert hubspot.calls == []


def test_two_customers_of_an_account_never_have_one_email_or_external_id(shop: Shop) -> None:
    shop.add("ada@example.com", external_id="c-1")
    bob = shop.add("bob@example.com", external_id="c-2")

    for fields, code in [
        ({"email": "ADA@example.com"}, "email_taken"),
        ({"email": "new@example.com", "external_id": "c-1"}, "external_id_taken"),
    ]:
        for answer in (
            shop.client.post(CUSTOMERS, fields),
            shop.client.patch(f"{CUSTOMERS}/{bob['id']}", fields),
        ):
            assert answer.status_code == 409
            assert answer.json()["code"] == code


def test_another_account_may_have_the_same_customer(shop: Shop, someone: ApiClient) -> None:
    shop.add("ada@example.com", external_id="c-1")

    answer = someone.post(CUSTOMERS, {"email": "ada@example.com", "external_id": "c-1"})

    assert answer.status_code == 201


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"email": "nobody"},
        {"email": None},
        {"email": 7},
        {"email": "a" * 250 + "@b.co"},
        {"email": "a@b.co", "first_name": "x" * 201},
        {"email": "a@b.co", "first_name": 1},
        {"email": "a@b.co", "properties": []},
        {"email": "a@b.co", "properties": {"x": {"deep": 1}}},
        {"email": "a@b.co", "properties": {"x": [1]}},
        {"email": "a@b.co", "properties": {"": 1}},
        {"email": "a@b.co", "properties": {"x": "y" * 17_000}},
        {"email": "a@b.co", "surprise": 1},
    ],
    ids=str,
)
def test_what_is_no_customer_is_refused(shop: Shop, fields: dict[str, object]) -> None:
    assert shop.client.post(CUSTOMERS, fields).status_code == 400


def test_properties_are_merged_and_null_removes_one(shop: Shop) -> None:
    ada = shop.add("ada@example.com", properties={"tier": "gold", "vip": True, "none": None})
    assert ada["properties"] == {"tier": "gold", "vip": True}

    changed = shop.change(ada, properties={"vip": None, "points": 12.5})

    assert changed["properties"] == {"tier": "gold", "points": 12.5}
    assert changed["version"] == 2


def test_properties_do_not_grow_without_end(shop: Shop) -> None:
    ada = shop.add("ada@example.com", properties={"a": "x" * 9_000})

    answer = shop.client.patch(f"{CUSTOMERS}/{ada['id']}", {"properties": {"b": "x" * 9_000}})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/properties"


def test_no_change_makes_no_event_and_no_version(shop: Shop) -> None:
    ada = shop.add("ada@example.com", first_name="Ada")

    again = shop.change(ada, first_name="Ada", email="ADA@example.com")

    assert again["version"] == 1
    assert told("customer.created") == 1
    assert told("customer.updated") == 0


def test_put_makes_or_replaces_the_customer_of_an_external_id(shop: Shop) -> None:
    url = f"{CUSTOMERS}/by-external-id/shop/7"

    made = shop.client.put(url, {"email": "ada@example.com", "first_name": "Ada"})
    replaced = shop.client.put(url, {"email": "ada@example.com", "last_name": "King"})

    assert (made.status_code, replaced.status_code) == (201, 200)
    assert made.json()["external_id"] == "shop/7"
    assert replaced.json()["id"] == made.json()["id"]
    assert (replaced.json()["first_name"], replaced.json()["last_name"]) == (None, "King")
    shop.add("bob@example.com")
    taken = shop.client.put(url, {"email": "bob@example.com"})
    assert taken.json()["code"] == "email_taken"
    other = shop.client.put(f"{CUSTOMERS}/by-external-id/8", {"email": "bob@example.com"})
    assert (other.status_code, other.json()["code"]) == (409, "email_taken")


@pytest.mark.django_db(transaction=True)
def test_of_many_puts_at_once_one_makes_it(shop: Shop) -> None:
    url = f"{CUSTOMERS}/by-external-id/c-1"

    answers = concurrently(
        8, lambda n: shop.client.put(url, {"email": "ada@example.com", "first_name": str(n)})
    )

    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_lists_are_searched_by_email_external_id_and_state(shop: Shop) -> None:
    ada = shop.add("ada@example.com", external_id="x-1")
    bob = shop.add("bob@example.com", external_id="ada-2")
    sync()
    eve = shop.add("eve@example.com")

    def found(**query: Any) -> list[str]:
        rows = shop.client.get(CUSTOMERS, **query).json()["results"]
        return [row["id"] for row in rows]

    assert found() == [eve["id"], bob["id"], ada["id"]]
    assert found(email="ADA@example.com") == [ada["id"]]
    assert found(external_id="ada-2") == [bob["id"]]
    assert found(q="ada") == [bob["id"], ada["id"]]
    assert found(state="pending") == [eve["id"]]
    assert found(state="synced") == [bob["id"], ada["id"]]
    assert found(state="not_configured") == []
    assert found(limit="1", state="synced") == [bob["id"]]


def test_a_tag_changes_with_what_hubspot_says_and_if_match_does_not(shop: Shop) -> None:
    ada = shop.add("ada@example.com")
    url = f"{CUSTOMERS}/{ada['id']}"
    before = shop.client.get(url).headers["ETag"]

    sync()

    after = shop.client.get(url, headers={"If-None-Match": before})
    assert after.status_code == 200
    assert after.headers["ETag"] != before
    assert (
        shop.client.patch(url, {"last_name": "L"}, headers={"If-Match": before}).status_code == 200
    )
    assert (
        shop.client.patch(url, {"last_name": "M"}, headers={"If-Match": before}).status_code == 412
    )


def test_events_tell_of_each_step(shop: Shop) -> None:
    ada = shop.add("ada@example.com")
    sync()
    shop.change(ada, email="countess@example.com")
    sync()

    events = shop.client.get("/api/v1/events").json()["results"]

    assert events == []  # nothing is dispatched in a test without workers
    assert [told(f"customer.{kind}") for kind in ("created", "updated", "synced")] == [1, 1, 2]
    assert states() == {"synced": 1}


def test_sync_again_sends_all_of_it_at_once(shop: Shop, hubspot: Simulator) -> None:
    ada = shop.add("ada@example.com", first_name="Ada")
    sync()
    contact = hubspot.contact("ada@example.com")
    assert contact is not None
    contact.properties["firstname"] = "somebody else"

    answer = shop.client.post(f"{CUSTOMERS}/{ada['id']}/sync")
    sync()

    assert answer.status_code == 202
    assert answer.json()["crm"]["state"] == "pending"
    assert contact.properties["firstname"] == "Ada"
    assert shop.attempts(ada) == [("upsert", "synced"), ("update", "synced")]


def test_customers_need_their_scope(shop: Shop, api: object) -> None:
    reader = api("customers:read", account=shop.client.account)  # type: ignore[operator]  # a factory

    assert reader.get(CUSTOMERS).status_code == 200
    assert reader.post(CUSTOMERS, {"email": "a@b.co"}).status_code == 403
    assert reader.put("/api/v1/crm/connection", {}).status_code == 403
