"""What HubSpot tells: who may tell it, once only, and which side wins."""

import time
from typing import Any

import orjson
import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from apps.crm import signing
from apps.crm.enums import NoticeOutcome
from apps.crm.models import Contact, Notice
from apps.crm.services import inbound
from apps.events.models import Event
from sandbox.hubspot.server import Simulator
from sandbox.hubspot.webhooks import HUB_ID, signed_headers
from tests.conftest import MakeClient
from tests.crm.support import Shop, sync, told
from tests.support.problems import assert_problem

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
PATH = "/api/v1/hubspot/webhooks"
NOW_MS = 1_700_000_300_000


@pytest.fixture(autouse=True)
def client_secret(settings: Settings) -> None:
    settings.HUBSPOT_CLIENT_SECRET = SECRET
    settings.BASE_URL = "https://shop.example"


def send(notices: Any, **headers: str) -> Any:
    body = orjson.dumps(notices)
    signed = signed_headers(SECRET, f"https://shop.example{PATH}", body)
    return Client().post(PATH, body, content_type="application/json", headers={**signed, **headers})


def deal_with() -> None:
    inbound.identify_portals()
    while inbound.apply_some():
        pass


def take_in(notices: Any) -> list[str]:
    """Send them, deal with them; the outcomes, oldest first."""
    before = set(Notice.objects.values_list("pk", flat=True))
    assert send(notices).status_code == 204
    deal_with()
    new = Notice.objects.exclude(pk__in=before).order_by("pk")
    return list(new.values_list("outcome", flat=True))


def change(contact_id: str, name: str, value: str, **more: Any) -> dict[str, Any]:
    notice = {
        "eventId": time.monotonic_ns(),
        "subscriptionType": "contact.propertyChange",
        "portalId": HUB_ID,
        "occurredAt": time.time_ns() // 1_000_000,
        "objectId": int(contact_id),
        "propertyName": name,
        "propertyValue": value,
    }
    return {**notice, **more}


def synced(shop: Shop, **fields: Any) -> Any:
    """A customer that HubSpot has."""
    customer = shop.add("ada@example.com", **{"first_name": "Ada", **fields})
    sync()
    shop.hubspot.news()
    return {**customer, "contact_id": shop.crm(customer)["contact_id"]}


def read(shop: Shop, customer: Any) -> Any:
    return shop.client.get(f"/api/v1/customers/{customer['id']}").json()


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("1693657560000", "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="),
        ("1700000300000", "RnbPH7+UMKVkbV32P8bz450N4M56aPmcru1+D3kSDtw="),
    ],
)
def test_hubspots_own_vectors_are_signed_alike(timestamp: str, expected: str) -> None:
    request: dict[str, Any] = {
        "secret": SECRET,
        "method": "POST",
        "uri": "https://www.example.com/webhook_uri",
        "body": b"{'example_field':'example_value'}",
        "timestamp": timestamp,
    }

    assert signing.signature(**request) == expected
    assert signing.is_genuine(expected, **request)
    assert not signing.is_genuine(expected, **{**request, "body": b"{}"})


def test_only_the_escapes_that_hubspot_undoes_are_undone() -> None:
    def of(uri: str) -> str:
        return signing.signature(
            secret="s", method="POST", uri=uri, body=b"", timestamp=str(NOW_MS)
        )

    assert of("https://a/b%3ac%2Fd%40e") == of("https://a/b:c/d@e")
    assert of("https://a/b%20c") != of("https://a/b c")


@pytest.mark.parametrize(
    ("timestamp", "timely"),
    [
        (str(NOW_MS), True),
        (str(NOW_MS - 300_000), True),
        (str(NOW_MS + 300_000), True),
        (str(NOW_MS - 300_001), False),
        (str(NOW_MS + 300_001), False),
        ("", False),
        ("-1", False),
        ("\uff11\uff17", False),
        ("9" * 400, False),
    ],
)
def test_five_minutes_either_way_are_tolerated(timestamp: str, timely: bool) -> None:
    assert signing.is_timely(timestamp, NOW_MS) is timely


@pytest.mark.parametrize(
    "headers",
    [
        {"X-HubSpot-Signature-v3": ""},
        {"X-HubSpot-Signature-v3": "AAAA"},
        {"X-HubSpot-Signature-v3": "pässword\udcff"},
        {"X-HubSpot-Request-Timestamp": "1"},
        {"X-HubSpot-Request-Timestamp": ""},
    ],
)
def test_what_hubspot_did_not_sign_is_refused(headers: dict[str, str]) -> None:
    assert_problem(send([], **headers), 401, "invalid_signature")


def test_without_a_client_secret_nobody_is_believed(settings: Settings) -> None:
    settings.HUBSPOT_CLIENT_SECRET = ""
    body = b"[]"
    headers = signed_headers("", f"https://shop.example{PATH}", body)

    answer = Client().post(PATH, body, content_type="application/json", headers=headers)

    assert_problem(answer, 401, "invalid_signature")


@pytest.mark.parametrize("body", [{}, None, "x", [[]] * 1001])
def test_what_is_no_array_of_notices_is_refused(body: Any) -> None:
    assert_problem(send(body), 400)


def test_notices_that_make_no_sense_are_passed_over() -> None:
    good = change("1", "firstname", "a\0b")
    odd: list[Any] = [None, 1, [], {}, {**good, "portalId": True}, {**good, "objectId": "x" * 500}]
    odd += [{**good, name: {"a": [1]}} for name in good]
    odd += [{**good, "occurredAt": at} for at in (-1, 0, 10**18, 1.5, "now")]

    assert send([*odd, {**good, "eventId": "the good one"}]).status_code == 204
    assert Notice.objects.filter(value="ab").exists()


def test_a_change_in_hubspot_reaches_the_customer_and_is_not_sent_back(shop: Shop) -> None:
    customer = synced(shop)
    shop.hubspot.edit_contact(customer["contact_id"], firstname="Augusta")

    outcomes = take_in(shop.hubspot.news())

    assert outcomes == [NoticeOutcome.APPLIED]
    changed = read(shop, customer)
    assert (changed["first_name"], changed["version"]) == ("Augusta", 2)
    assert changed["crm"]["state"] == "synced"
    calls = len(shop.hubspot.calls)
    sync()
    assert len(shop.hubspot.calls) == calls
    assert told("customer.updated") == 1


def test_what_is_told_twice_happens_once(shop: Shop) -> None:
    customer = synced(shop)
    notice = change(customer["contact_id"], "firstname", "Augusta")

    assert take_in([notice, notice]) == [NoticeOutcome.APPLIED]
    assert take_in([{**notice, "attemptNumber": 1}]) == []
    assert told("customer.updated") == 1


def test_our_own_change_coming_back_changes_nothing(shop: Shop) -> None:
    customer = shop.add("ada@example.com", first_name="Ada")
    sync()

    outcomes = take_in(shop.hubspot.news())

    assert set(outcomes) == {NoticeOutcome.UNCHANGED}
    assert read(shop, customer)["version"] == 1


def test_our_own_changes_coming_back_cost_a_few_statements_however_many_they_are(
    shop: Shop, django_assert_max_num_queries: Any
) -> None:
    """And nobody is told or woken by them."""
    shop.hubspot.settings.rate_limit = 1_000
    shop.add_many(200)
    sync()
    news = shop.hubspot.news()
    events = Event.objects.count()
    sent = Contact.objects.get(contact_id="101").property_times
    for start in range(0, len(news), 100):
        assert send(news[start : start + 100]).status_code == 204
    inbound.identify_portals()

    with django_assert_max_num_queries(20):
        assert not inbound.apply_some()

    assert len(news) == 400
    outcomes = Notice.objects.values_list("outcome", flat=True)
    assert set(outcomes) == {NoticeOutcome.UNCHANGED}
    assert Event.objects.count() == events
    assert not Contact.objects.filter(due_at__isnull=False).exists()
    told = Contact.objects.get(contact_id="101").property_times
    assert all(told[name] >= sent[name] for name in sent)  # so that what comes late is older
    assert told != sent


def test_an_echo_of_a_failed_customer_does_not_send_it_again(shop: Shop) -> None:
    customer = synced(shop)
    shop.change(customer, email="ada@example.invalid")
    sync()
    assert shop.crm(customer)["state"] == "failed"

    assert take_in([change(customer["contact_id"], "firstname", "Ada")]) == ["unchanged"]

    assert shop.crm(customer)["state"] == "failed"


def test_contacts_that_are_nobodys_and_properties_that_are_not_ours_are_settled_together(
    shop: Shop, django_assert_max_num_queries: Any
) -> None:
    customer = synced(shop)
    nobodys = [change(str(number), "email", f"{number}@x.co") for number in range(9000, 9060)]
    unmapped = [change(customer["contact_id"], f"p{number}", "1") for number in range(30)]
    assert send([*nobodys, *unmapped]).status_code == 204
    inbound.identify_portals()

    with django_assert_max_num_queries(20):
        inbound.apply_some()

    outcomes = list(Notice.objects.values_list("outcome", flat=True))
    assert [outcomes.count(one) for one in ("unknown", "unmapped")] == [60, 30]


def test_the_newest_value_wins_in_whatever_order_it_is_told(shop: Shop) -> None:
    customer = synced(shop)
    contact_id, now = customer["contact_id"], time.time_ns() // 1_000_000
    newer = change(contact_id, "firstname", "Newer", occurredAt=now + 2000)
    older = change(contact_id, "firstname", "Older", occurredAt=now + 1000)

    assert take_in([newer]) == [NoticeOutcome.APPLIED]
    assert take_in([older]) == [NoticeOutcome.OLDER]
    assert read(shop, customer)["first_name"] == "Newer"


def test_what_was_sent_from_here_since_wins(shop: Shop) -> None:
    customer = synced(shop)
    stale = change(customer["contact_id"], "firstname", "Stale")
    time.sleep(0.002)  # the next millisecond
    shop.change(customer, first_name="Augusta")
    sync()

    assert take_in([stale]) == [NoticeOutcome.OLDER]
    assert read(shop, customer)["first_name"] == "Augusta"


def test_a_local_edit_in_flight_wins_of_its_own_field_alone(shop: Shop) -> None:
    customer = synced(shop)
    shop.change(customer, first_name="Local")
    contact_id = customer["contact_id"]
    shop.hubspot.edit_contact(contact_id, firstname="Theirs", lastname="King")

    assert take_in(shop.hubspot.news()) == [NoticeOutcome.LOCAL, NoticeOutcome.APPLIED]
    sync()

    changed = read(shop, customer)
    assert (changed["first_name"], changed["last_name"]) == ("Local", "King")
    properties = shop.hubspot.records.contacts[contact_id].properties
    assert (properties["firstname"], properties["lastname"]) == ("Local", "King")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("email", ""),
        ("email", "no address"),
        ("email", "taken@example.com"),
        ("firstname", "x" * 201),
    ],
)
def test_a_value_that_a_customer_cannot_have_is_refused(shop: Shop, name: str, value: str) -> None:
    customer = synced(shop)
    shop.add("taken@example.com")

    assert take_in([change(customer["contact_id"], name, value)]) == [NoticeOutcome.REFUSED]
    assert read(shop, customer)["version"] == 1


def test_properties_keep_their_type(shop: Shop) -> None:
    for name in ("tier", "points", "vip"):
        shop.hubspot.records.define("contacts", name)
    shop.connect(mapping={f"properties.{name}": name for name in ("tier", "points", "vip")})
    customer = synced(shop, properties={"tier": "gold", "points": 7, "vip": True})
    contact_id = customer["contact_id"]

    take_in(
        [
            change(contact_id, "tier", ""),
            change(contact_id, "points", "8"),
            change(contact_id, "vip", "false"),
            change(contact_id, "lastname", "unmapped"),
        ]
    )

    assert read(shop, customer)["properties"] == {"points": 8, "vip": False}
    assert read(shop, customer)["last_name"] is None


def test_an_email_changed_in_hubspot_is_the_customers(shop: Shop) -> None:
    customer = synced(shop)
    shop.hubspot.edit_contact(customer["contact_id"], email="Countess@example.com")

    assert take_in(shop.hubspot.news()) == [NoticeOutcome.APPLIED]
    assert read(shop, customer)["email"] == "countess@example.com"


def test_a_deleted_contact_is_made_again_only_when_its_customer_changes(shop: Shop) -> None:
    customer = synced(shop)
    shop.hubspot.delete_contact(customer["contact_id"])

    assert take_in(shop.hubspot.news()) == [NoticeOutcome.APPLIED]
    sync()
    assert shop.crm(customer)["state"] == "skipped"
    assert shop.hubspot.contact("ada@example.com") is None

    shop.change(customer, first_name="Augusta")
    sync()
    assert shop.crm(customer)["state"] == "synced"
    assert shop.hubspot.contact("ada@example.com") is not None


def test_a_merged_contact_takes_its_customer_along(shop: Shop) -> None:
    customer = synced(shop)
    other = shop.hubspot.add_contact("other@example.com", firstname="Other")
    shop.hubspot.merge_contacts(other.id, customer["contact_id"])

    assert NoticeOutcome.APPLIED in take_in(shop.hubspot.news())
    sync()

    assert shop.crm(customer) | {"synced_at": None} == {
        "state": "synced",
        "contact_id": other.id,
        "synced_at": None,
        "error": None,
    }
    assert shop.hubspot.records.contacts[other.id].properties["firstname"] == "Ada"


def test_of_two_customers_whose_contacts_are_merged_one_is_in_conflict(shop: Shop) -> None:
    first = shop.add("first@example.com")
    second = shop.add("second@example.com")
    sync()
    shop.hubspot.news()
    ids = [shop.crm(one)["contact_id"] for one in (first, second)]
    shop.hubspot.merge_contacts(*ids)

    take_in(shop.hubspot.news())
    sync()

    assert shop.crm(first)["contact_id"] == ids[0]
    assert shop.crm(second)["contact_id"] is None
    assert shop.crm(second)["error"]["code"] == "conflict"


def test_a_contact_made_in_hubspot_is_found_by_the_customer_that_waits_for_it(
    shop: Shop, hubspot: Simulator
) -> None:
    shop.connect(missing_contact="skip")
    customer = shop.add("ada@example.com")
    sync()
    assert shop.crm(customer)["state"] == "skipped"
    made = hubspot.add_contact("ada@example.com")

    take_in([change(made.id, "email", "ada@example.com")])
    sync()

    assert shop.crm(customer)["contact_id"] == made.id


def test_another_hubspot_accounts_contact_of_the_same_number_is_nobodys(shop: Shop) -> None:
    customer = synced(shop)
    foreign = change(customer["contact_id"], "firstname", "Foreign", portalId=HUB_ID + 1)

    assert take_in([foreign]) == [NoticeOutcome.UNKNOWN]
    assert read(shop, customer)["first_name"] == "Ada"


def test_every_account_of_the_same_hubspot_hears_it(shop: Shop, api: MakeClient) -> None:
    other = Shop(api(), shop.hubspot)
    customers = [(one, synced(one)) for one in (shop, other)]

    take_in([change(customers[0][1]["contact_id"], "firstname", "Augusta")])

    assert [read(*one)["first_name"] for one in customers] == ["Augusta", "Augusta"]


def test_while_a_call_is_under_way_a_notice_waits(shop: Shop) -> None:
    customer = synced(shop)
    row = Contact.objects.filter(pk=customer["id"])
    row.update(lease_id=customer["id"], lease_until="2099-01-01T00:00:00Z")

    assert take_in([change(customer["contact_id"], "firstname", "Augusta")]) == [""]

    row.update(lease_id=None, lease_until=None)
    Notice.objects.update(due_at="2000-01-01T00:00:00Z")
    deal_with()
    assert read(shop, customer)["first_name"] == "Augusta"
