"""Which HubSpot an account's customers go to, and what of them."""

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from sandbox.hubspot.server import Simulator
from tests.crm.support import TOKEN, Shop, pass_time, states, sync
from tests.support import ApiClient

pytestmark = pytest.mark.django_db

CONNECTION = "/api/v1/crm/connection"


def test_the_token_is_never_shown_and_is_encrypted_at_rest(shop: Shop) -> None:
    answer = shop.client.get(CONNECTION)

    assert answer.json()["token_source"] == "account"
    assert TOKEN not in answer.content.decode()
    with connection.cursor() as cursor:
        cursor.execute("SELECT convert_from(access_token, 'UTF8') FROM crm_connection")
        assert TOKEN not in cursor.fetchone()[0]


def test_without_a_token_there_is_no_connection_and_customers_wait(
    someone: ApiClient, hubspot: Simulator
) -> None:
    made = someone.post("/api/v1/customers", {"email": "ada@example.com"}).json()
    sync()

    assert made["crm"]["state"] == "not_configured"
    assert someone.get(CONNECTION).status_code == 404
    assert someone.delete(CONNECTION).status_code == 404
    assert hubspot.calls == []
    waiting = someone.get("/api/v1/customers", state="not_configured").json()["results"]
    assert [row["id"] for row in waiting] == [made["id"]]


def test_who_waits_for_a_token_is_sent_once_there_is_one(
    someone: ApiClient, hubspot: Simulator
) -> None:
    someone.post("/api/v1/customers", {"email": "ada@example.com"})
    sync()

    Shop(someone, hubspot)
    sync()

    assert states() == {"synced": 1}


def test_the_environments_token_is_the_default(
    someone: ApiClient, hubspot: Simulator, settings: Settings
) -> None:
    settings.HUBSPOT_ACCESS_TOKEN = "pat-of-the-house"
    someone.post("/api/v1/customers", {"email": "ada@example.com"})

    sync()

    assert someone.get(CONNECTION).json()["token_source"] == "environment"
    assert [call.token for call in hubspot.calls] == ["pat-of-the-house"]


def test_put_keeps_the_token_that_is_not_sent_and_null_takes_the_environments(
    shop: Shop, hubspot: Simulator
) -> None:
    kept = shop.client.put(CONNECTION, {"missing_contact": "skip"}).json()
    assert (kept["token_source"], kept["missing_contact"]) == ("account", "skip")

    dropped = shop.client.put(CONNECTION, {"access_token": None}).json()

    assert (dropped["token_source"], dropped["missing_contact"]) == (None, "create")


def test_deleting_it_forgets_the_token_and_stops_the_sync(shop: Shop, hubspot: Simulator) -> None:
    ada = shop.add("ada@example.com")

    assert shop.client.delete(CONNECTION).status_code == 204
    sync()

    assert shop.client.get(CONNECTION).status_code == 404
    assert shop.crm(ada)["state"] == "not_configured"
    assert hubspot.calls == []


def test_the_mapping_decides_what_is_sent(shop: Shop, hubspot: Simulator) -> None:
    hubspot.records.define("contacts", "customer_tier")
    hubspot.records.define("contacts", "is_vip")
    mapping = {
        "last_name": "company",
        "properties.tier": "customer_tier",
        "properties.vip": "is_vip",
    }
    shop.connect(mapping=mapping)

    ada = shop.add(
        "ada@example.com",
        first_name="Ada",
        last_name="Byron",
        properties={"tier": 3, "vip": True, "private": "diary"},
    )
    sync()

    contact = hubspot.contact("ada@example.com")
    assert contact is not None
    assert contact.properties == {
        "email": "ada@example.com",
        "company": "Byron",
        "customer_tier": "3",
        "is_vip": "true",
    }
    shop.change(ada, properties={"tier": None})
    sync()
    assert contact.properties["customer_tier"] == ""


@pytest.mark.parametrize(
    "mapping",
    [
        {"surname": "lastname"},
        {"properties.": "lastname"},
        {"first_name": "Not A Name"},
        {"first_name": "email"},
        {"first_name": "name", "last_name": "name"},
        {"first_name": 1},
        [],
        {f"properties.p{n}": f"p{n}" for n in range(101)},
    ],
    ids=str,
)
def test_a_mapping_that_cannot_be_is_refused(shop: Shop, mapping: object) -> None:
    assert shop.client.put(CONNECTION, {"mapping": mapping}).status_code == 400


def test_a_changed_mapping_concerns_every_customer_and_nothing_else_does(
    shop: Shop, hubspot: Simulator
) -> None:
    for number in range(3):
        shop.add(f"c{number}@example.com", first_name="A", properties={"phone": str(number)})
    sync()
    hubspot.forget_calls()

    shop.connect(send_orders=False)
    sync()
    assert hubspot.calls == []

    shop.connect(mapping={"first_name": "firstname", "properties.phone": "phone"})
    sync()

    (call,) = hubspot.calls
    sent = [one["properties"] for one in call.body["inputs"]]
    assert sorted(one["phone"] for one in sent) == ["0", "1", "2"]
    assert all(one.keys() == {"phone"} for one in sent)


def test_what_is_no_longer_mapped_is_left_alone(shop: Shop, hubspot: Simulator) -> None:
    shop.add("ada@example.com", first_name="Ada", last_name="King")
    sync()

    shop.connect(mapping={"first_name": "firstname"})
    sync()

    contact = hubspot.contact("ada@example.com")
    assert contact is not None
    assert contact.properties["lastname"] == "King"


def test_another_token_finds_the_contacts_again(shop: Shop, hubspot: Simulator) -> None:
    ada = shop.add("ada@example.com", first_name="Ada")
    sync()
    hubspot.forget_calls()

    shop.connect(access_token="pat-rotated")
    sync()

    assert [call.path.rsplit("/")[-1] for call in hubspot.calls] == ["read"]
    assert shop.crm(ada)["state"] == "synced"
    shop.change(ada, first_name="Augusta")
    sync()
    assert hubspot.calls[-1].path.endswith("/update")
    assert hubspot.calls[-1].token == "pat-rotated"


def test_skipped_customers_are_made_once_the_account_wants_them(
    shop: Shop, hubspot: Simulator
) -> None:
    shop.connect(missing_contact="skip")
    shop.add("ada@example.com")
    sync()
    assert states() == {"skipped": 1}

    shop.connect(missing_contact="create")
    sync()

    assert states() == {"synced": 1}


def test_a_token_that_no_key_opens_any_more_waits_for_another(
    shop: Shop, hubspot: Simulator, someone: ApiClient
) -> None:
    ada = shop.add("ada@example.com")
    other = Shop(someone, hubspot, access_token="pat-other")
    bob = other.add("bob@example.com")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE crm_connection SET access_token = 'gAAAAnonsense' WHERE id = %s",
            [shop.client.account.id],
        )

    sync()

    assert other.crm(bob)["state"] == "synced"
    assert shop.crm(ada)["state"] == "pending"
    assert shop.client.get(CONNECTION).status_code == 200
    assert shop.client.put(CONNECTION, {"missing_contact": "skip"}).status_code == 200
    shop.connect()
    sync()
    assert shop.crm(ada)["state"] == "synced"


def test_it_tells_how_hubspot_fares(shop: Shop, hubspot: Simulator) -> None:
    shop.add("ada@example.com")
    sync()

    told = shop.client.get(CONNECTION).json()["hubspot"]

    assert told["status"] == "ok"
    assert (told["calls"], told["changed"]) == (1, 1)
    assert (told["rate_limit"], told["daily_limit"]) == (100, 250_000)
    hubspot.settings.void_tokens = [TOKEN]
    shop.add("bob@example.com")
    sync()
    pass_time(0)
    told = shop.client.get(CONNECTION).json()["hubspot"]
    assert told["status"] == "paused"
    assert told["error"]["hubspot_code"] == "INVALID_AUTHENTICATION"
