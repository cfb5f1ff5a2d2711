"""How often a customer's call asks the database, and what becomes of what moves between two such trips."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from apps.crm import selectors
from apps.crm.enums import PortalStatus
from apps.crm.models import Connection, Contact, Customer, Portal
from apps.crm.services.writing import look
from apps.events.models import Event
from tests.crm.support import Shop, key, sync, told
from tests.support import concurrently
from tests.support.trips import traced

pytestmark = pytest.mark.django_db(transaction=True)

CUSTOMERS = "/api/v1/customers"


@pytest.fixture
def ada(shop: Shop) -> Any:
    """A customer that was changed: all statements are prepared, the key of the API is known."""
    ada = shop.add("ada@example.com", external_id="c-1", properties={"tier": "gold"})
    return shop.change(ada, first_name="Ada")


@pytest.mark.parametrize(
    "fields", [{"first_name": "Augusta"}, {"last_name": "King", "properties": {"tier": None}}]
)
def test_a_change_takes_two_round_trips(shop: Shop, ada: Any, fields: dict[str, Any]) -> None:
    with traced() as trips:
        shop.change(ada, **fields)

    assert trips.count == 2


def test_a_change_of_what_hubspot_has_is_prepared_too(shop: Shop, ada: Any) -> None:
    sync()

    with traced() as trips:
        shop.change(ada, first_name="Augusta")

    assert trips.count == 2


def test_no_change_takes_one(shop: Shop, ada: Any) -> None:
    with traced() as trips:
        shop.change(ada, first_name="Ada")

    assert trips.count == 1


def test_another_email_is_looked_for_first(shop: Shop, ada: Any) -> None:
    with traced() as trips:
        shop.change(ada, email="countess@example.com")

    assert trips.count == 3


def test_a_new_customer_takes_two(shop: Shop, ada: Any) -> None:
    with traced() as trips:
        shop.add("bob@example.com", first_name="Bob")

    assert trips.count == 2


@contextmanager
def before_each_write(act: Callable[[int], Any]) -> Iterator[list[int]]:
    """Call `act(n)` right before the nth time that a change is written; yields those numbers."""
    writes: list[int] = []

    def between(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "crm_change_customer_v1(" in sql:
            writes.append(len(writes) + 1)
            concurrently(1, lambda _: act(writes[-1]))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(between):
        yield writes


def test_a_change_in_between_is_kept(shop: Shop, ada: Any) -> None:
    def overtake(attempt: int) -> None:
        if attempt == 1:
            shop.change(ada, last_name="King", properties={"vip": True})

    with before_each_write(overtake) as writes:
        changed = shop.change(ada, first_name="Augusta", properties={"tier": "silver"})

    assert writes == [1, 2]
    assert (changed["first_name"], changed["last_name"]) == ("Augusta", "King")
    assert changed["properties"] == {"tier": "silver", "vip": True}
    assert changed["version"] == ada["version"] + 2
    assert told("customer.updated") == 3


def test_a_change_in_between_fails_a_condition(shop: Shop, ada: Any) -> None:
    path, tag = f"{CUSTOMERS}/{ada['id']}", f'"{ada["version"]}"'

    with before_each_write(lambda _: shop.change(ada, last_name="King")) as writes:
        answer = shop.client.patch(path, {"last_name": "Byron"}, headers={"If-Match": tag})

    assert writes == [1]
    assert answer.status_code == 412
    assert shop.client.get(path).json()["last_name"] == "King"


def test_an_erasure_in_between_leaves_nothing_to_change(shop: Shop, ada: Any) -> None:
    path = f"{CUSTOMERS}/{ada['id']}"

    with before_each_write(lambda _: shop.client.post(f"{path}/erase", {})):
        answer = shop.client.patch(path, {"first_name": "Augusta"})

    assert answer.status_code == 404
    assert Customer.objects.get(pk=ada["id"]).first_name is None


def test_what_hubspot_confirms_in_between_is_told(shop: Shop, ada: Any) -> None:
    def confirm(attempt: int) -> None:
        if attempt == 1:
            Contact.objects.update(contact_id="151", synced_at=Now())

    with before_each_write(confirm) as writes:
        changed = shop.change(ada, first_name="Augusta")

    assert writes == [1, 2]
    assert changed["crm"]["contact_id"] == "151"
    assert changed["crm"]["synced_at"] is not None
    event = Event.objects.filter(type="customer.updated").order_by("sequence").last()
    assert event is not None
    assert b'"contact_id":"151"' in bytes(event.payload)


def test_many_changes_of_one_customer_at_once_are_all_kept(shop: Shop, ada: Any) -> None:
    concurrently(12, lambda n: shop.change(ada, properties={f"p{n}": n}))

    changed = shop.client.get(f"{CUSTOMERS}/{ada['id']}").json()
    assert changed["properties"] == {"tier": "gold"} | {f"p{n}": n for n in range(12)}
    assert changed["version"] == ada["version"] + 12


def test_ten_changes_are_one_row_and_one_call(shop: Shop, ada: Any) -> None:
    for number in range(10):
        shop.change(ada, first_name=f"Ada {number}")
    sync()

    assert Contact.objects.count() == 1
    assert [call.size for call in shop.hubspot.calls_to("objects/contacts/batch")] == [1]
    contact = shop.hubspot.contact("ada@example.com")
    assert contact is not None
    assert contact.properties["firstname"] == "Ada 9"


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("environment", ["", "pat-environment"])
def test_the_standing_is_the_selectors(
    shop: Shop, ada: Any, settings: Settings, own: bool, environment: str
) -> None:
    settings.HUBSPOT_ACCESS_TOKEN = environment
    account_id = shop.client.account.id
    if not own:
        Connection.objects.all().delete()
    for token in ("pat-test-1", "pat-environment"):
        Portal.objects.update_or_create(
            key=key(token), defaults={"status": PortalStatus.PARKED, "error_detail": token}
        )

    standing = look(account_id).standing

    expected = selectors.standing(account_id)
    assert standing.has_token == expected.has_token == bool(own or environment)
    assert (standing.portal and standing.portal.pk) == (expected.portal and expected.portal.pk)
    assert (standing.portal is None) == (not standing.has_token)
