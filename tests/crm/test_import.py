"""The first load: every contact once, whatever interrupts it, and nothing sent back."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now

from apps.crm.models import Contact, ContactImport, Customer, Erasure
from apps.crm.services import importing
from apps.crm.services.connections import continue_resync
from apps.crm.services.erasing import erase_some
from apps.crm.services.importing import import_some, start_import
from sandbox.hubspot.server import Simulator
from sandbox.hubspot.settings import Scripted
from tests.conftest import MakeClient
from tests.crm.support import TOKEN, Shop, pass_time, portal, sync, told
from tests.support import concurrently

pytestmark = pytest.mark.django_db

PAGES = "/objects/contacts"


def counts(row: ContactImport) -> dict[str, int]:
    names = ("read", "created", "updated", "unchanged", "without_email", "refused")
    return {name: getattr(row, name) for name in names if getattr(row, name)}


def import_all(shop: Shop) -> dict[str, int]:
    account_id = shop.client.account.id
    start_import(account_id=account_id)
    while import_some(account_id):
        pass
    row = ContactImport.objects.get(pk=account_id)
    assert row.ended_at, row.error
    return counts(row)


def run(command: str, shop: Shop, **options: Any) -> str:
    out, err = StringIO(), StringIO()
    try:
        call_command(command, account=shop.client.account.slug, stdout=out, stderr=err, **options)
    except CommandError as error:
        return f"{out.getvalue()}{err.getvalue()}failed: {error}"
    return out.getvalue() + err.getvalue()


def only(shop: Shop) -> Any:
    (customer,) = shop.client.get("/api/v1/customers").json()["results"]
    return customer


def test_contacts_become_customers_and_are_not_sent_back(shop: Shop, hubspot: Simulator) -> None:
    shop.connect(
        mapping={"first_name": "firstname", "properties.tier": "phone", "external_id": "company"}
    )
    contact = hubspot.add_contact(
        "Ada@Example.com", firstname="Ada", lastname="unmapped", phone="gold", company="c-1"
    )

    assert import_all(shop) == {"read": 1, "created": 1}

    ada = only(shop)
    assert (ada["email"], ada["first_name"], ada["last_name"]) == ("ada@example.com", "Ada", None)
    assert (ada["properties"], ada["external_id"]) == ({"tier": "gold"}, None)
    assert (ada["crm"]["state"], ada["crm"]["contact_id"]) == ("synced", contact.id)
    row = Contact.objects.get()
    assert (row.revision, row.synced_revision, row.due_at) == (1, 1, None)
    assert told("customer.created") == 1
    hubspot.forget_calls()
    sync()
    assert hubspot.calls == []
    shop.change(ada, first_name="Augusta")
    sync()
    assert hubspot.calls[0].body["inputs"][0]["properties"] == {"firstname": "Augusta"}
    assert contact.properties["company"] == "c-1"


def test_pages_are_read_in_hundreds_with_the_mapped_properties_alone(
    shop: Shop, hubspot: Simulator
) -> None:
    for number in range(250):
        hubspot.add_contact(f"c{number}@many.example")

    assert import_all(shop) == {"read": 250, "created": 250}

    assert ContactImport.objects.get().total == 250
    assert len(hubspot.calls) == 4  # one to count them
    assert portal().calls == 4


def test_a_second_run_changes_nothing(shop: Shop, hubspot: Simulator) -> None:
    hubspot.add_contact("ada@example.com", firstname="Ada")
    hubspot.add_contact("bob@example.com")
    shop.add("bob@example.com", first_name="Bob")
    import_all(shop)
    sync()
    events = told("customer.created"), told("customer.updated")
    before = list(Customer.objects.order_by("pk").values()), list(Contact.objects.values())

    assert import_all(shop) == {"read": 2, "unchanged": 2}

    assert (
        list(Customer.objects.order_by("pk").values()),
        list(Contact.objects.values()),
    ) == before
    assert (told("customer.created"), told("customer.updated")) == events


def test_a_customer_that_hubspot_did_not_know_keeps_what_it_has_and_gets_what_it_lacks(
    shop: Shop, hubspot: Simulator
) -> None:
    contact = hubspot.add_contact("ada@example.com", firstname="Theirs", lastname="King")
    ada = shop.add("ada@example.com", first_name="Ours")

    assert import_all(shop) == {"read": 1, "updated": 1}

    assert (only(shop)["first_name"], only(shop)["last_name"]) == ("Ours", "King")
    assert told("customer.updated") == 1
    sync()
    assert shop.crm(ada)["contact_id"] == contact.id
    assert contact.properties["firstname"] == "Ours"
    sent = hubspot.calls_to("batch/update")
    assert [call.body["inputs"][0]["properties"] for call in sent] == [{"firstname": "Ours"}]


def test_of_a_known_contact_hubspots_change_wins_unless_ours_is_owed(
    shop: Shop, hubspot: Simulator
) -> None:
    ada = shop.add("ada@example.com", first_name="A", last_name="B")
    sync()
    contact = hubspot.contact("ada@example.com")
    assert contact is not None
    shop.change(ada, last_name="Ours")
    hubspot.edit_contact(contact.id, firstname="Theirs", lastname="Theirs")

    assert import_all(shop) == {"read": 1, "updated": 1}
    sync()

    assert (only(shop)["first_name"], only(shop)["last_name"]) == ("Theirs", "Ours")
    assert (contact.properties["firstname"], contact.properties["lastname"]) == ("Theirs", "Ours")


def test_a_page_that_is_older_than_what_is_known_changes_nothing(
    shop: Shop, hubspot: Simulator
) -> None:
    ada = shop.add("ada@example.com", first_name="A")
    sync()
    contact = hubspot.contact("ada@example.com")
    assert contact is not None
    stale = {**contact.as_json(), "properties": {"email": "ada@example.com", "firstname": "Stale"}}
    stale["updatedAt"] = "2020-01-01T00:00:00Z"
    hubspot.script(
        Scripted(200, {"total": 1, "results": []}, path="/search"),
        Scripted(200, {"results": [stale]}, path=PAGES),
    )

    assert import_all(shop) == {"read": 1, "unchanged": 1}
    assert only(shop)["first_name"] == "A"
    assert shop.crm(ada)["state"] == "synced"


def test_a_skipped_customer_is_connected_without_a_call_where_nothing_differs(
    shop: Shop, hubspot: Simulator
) -> None:
    shop.connect(missing_contact="skip")
    ada = shop.add("ada@example.com")
    sync()
    assert shop.crm(ada)["state"] == "skipped"
    contact = hubspot.add_contact("ada@example.com", firstname="Ada")

    import_all(shop)
    hubspot.forget_calls()
    sync()

    assert (shop.crm(ada)["state"], shop.crm(ada)["contact_id"]) == ("synced", contact.id)
    assert only(shop)["first_name"] == "Ada"
    assert hubspot.calls == []


def test_contacts_that_can_be_no_customers_are_counted(shop: Shop, hubspot: Simulator) -> None:
    hubspot.add_contact("", firstname="nameless")
    hubspot.add_contact("odd@exa_mple.com")
    hubspot.add_contact("long@example.com", firstname="x" * 201)

    assert import_all(shop) == {"read": 3, "created": 1, "without_email": 1, "refused": 1}
    assert only(shop)["first_name"] is None
    sync()
    assert hubspot.calls_to("batch") == []


def test_additional_addresses_find_the_customer_too(shop: Shop, hubspot: Simulator) -> None:
    ada = shop.add("augusta@example.com")
    contact = hubspot.add_contact("ada@example.com", hs_additional_emails="augusta@example.com")

    assert import_all(shop) == {"read": 1, "updated": 1}
    sync()

    assert only(shop)["email"] == "augusta@example.com"
    assert shop.crm(ada)["contact_id"] == contact.id
    assert contact.properties["email"] == "ada@example.com"


def test_whoever_is_being_erased_does_not_come_back(shop: Shop, hubspot: Simulator) -> None:
    ada = shop.add("ada@example.com")
    sync()
    answer = shop.client.post(f"/api/v1/customers/{ada['id']}/erase", {"delete_contact": True})
    assert answer.status_code == 200
    assert Erasure.objects.exists()

    assert import_all(shop) == {"read": 1, "refused": 1}
    assert not Customer.objects.filter(erased_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_whoever_was_erased_since_a_page_was_read_does_not_come_back(
    shop: Shop, hubspot: Simulator
) -> None:
    ada = shop.add("ada@example.com")
    sync()
    account_id = shop.client.account.id
    erased: list[int] = []

    def erase(_: int) -> int:
        path = f"/api/v1/customers/{ada['id']}/erase"
        answer = shop.client.post(path, {"delete_contact": True})
        while erase_some():
            pass
        return answer.status_code

    def erase_meanwhile(execute: Any, sql: str, *rest: Any) -> Any:
        is_read = any(call.path.endswith(PAGES) for call in hubspot.calls)
        if is_read and not erased:
            erased.append(0)
            erased.extend(concurrently(1, erase))
        return execute(sql, *rest)

    start_import(account_id=account_id)
    hubspot.forget_calls()
    with connection.execute_wrapper(erase_meanwhile):
        assert import_some(account_id)

    assert erased == [0, 200]
    assert hubspot.contact("ada@example.com") is None
    assert not Customer.objects.filter(erased_at=None).exists()
    Erasure.objects.update(due_at=Now())
    assert erase_some()
    assert not Erasure.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_mapping_that_is_changed_since_a_page_was_read_holds_for_it_too(
    shop: Shop, hubspot: Simulator
) -> None:
    """All customers have been looked at for the change by the time these are made."""
    hubspot.add_contact("ada@example.com", firstname="Ada", lastname="King")
    account_id = shop.client.account.id
    changed: list[Any] = []

    def change(_: int) -> Any:
        answer = shop.connect(mapping={"first_name": "firstname", "last_name": "lastname"})
        while continue_resync():
            pass
        return answer["mapping"]

    def change_meanwhile(execute: Any, sql: str, *rest: Any) -> Any:
        is_read = any(call.path.endswith(PAGES) for call in hubspot.calls)
        if is_read and not changed:
            changed.append("begun")
            changed.extend(concurrently(1, change))
        return execute(sql, *rest)

    shop.connect(mapping={"first_name": "firstname"})
    while continue_resync():
        pass
    start_import(account_id=account_id)
    with connection.execute_wrapper(change_meanwhile):
        assert import_some(account_id)
    assert len(changed) == 2
    ContactImport.objects.filter(ended_at=None).update(due_at=Now())
    while import_some(account_id):
        pass
    sync()

    assert (only(shop)["first_name"], only(shop)["last_name"]) == ("Ada", "King")


def test_another_accounts_customers_are_none_of_it(
    shop: Shop, hubspot: Simulator, api: MakeClient
) -> None:
    other = Shop(api(), hubspot)
    theirs = other.add("ada@example.com", first_name="Other")
    sync()

    assert import_all(shop) == {"read": 1, "created": 1}
    assert other.client.get(f"/api/v1/customers/{theirs['id']}").json()["version"] == 1


def test_a_page_of_which_one_is_just_being_sent_waits(shop: Shop, hubspot: Simulator) -> None:
    shop.add("ada@example.com")
    hubspot.add_contact("ada@example.com", firstname="Ada")
    Contact.objects.update(lease_id=shop.client.account.id, lease_until="2099-01-01T00:00:00Z")
    account_id = shop.client.account.id
    start_import(account_id=account_id)

    assert import_some(account_id)
    row = ContactImport.objects.get()
    assert (row.read, row.ended_at, row.error) == (0, None, "")

    Contact.objects.update(lease_id=None, lease_until=None)
    ContactImport.objects.update(due_at=Now())
    assert import_some(account_id)
    assert counts(ContactImport.objects.get()) == {"read": 1, "updated": 1}


def test_what_hubspot_cannot_do_now_is_done_later_and_a_page_counts_once(
    shop: Shop, hubspot: Simulator
) -> None:
    for number in range(150):
        hubspot.add_contact(f"c{number}@many.example")
    account_id = shop.client.account.id
    start_import(account_id=account_id)
    import_some(account_id)
    hubspot.script(Scripted(503), Scripted(200, raw="<html>"))
    for _ in range(4):
        import_some(account_id)
        ContactImport.objects.filter(ended_at=None).update(due_at=Now())
        pass_time()

    row = ContactImport.objects.get()
    assert row.ended_at
    assert counts(row) == {"read": 150, "created": 150}


def test_what_hubspot_refuses_stops_it_with_the_reason(shop: Shop, hubspot: Simulator) -> None:
    hubspot.script(Scripted(400, {"message": "Invalid property"}, path=PAGES))
    hubspot.add_contact("ada@example.com")

    assert "failed: Invalid property" in run("import_contacts", shop)
    assert "1 contacts: 1 created" in run("import_contacts", shop)


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("way", ["a" * 3, "ab" * 9, "abcdefg" + "hij" * 9])
def test_pages_that_lead_in_a_circle_are_not_read_for_ever(
    shop: Shop, hubspot: Simulator, way: str, dry_run: bool
) -> None:
    hubspot.script(
        Scripted(200, {"total": 0}, path="/search"),
        *[
            Scripted(200, {"results": [], "paging": {"next": {"after": place}}}, path=PAGES)
            for place in way
        ],
    )

    assert "do not come to an end" in run("import_contacts", shop, dry_run=dry_run)
    assert ContactImport.objects.filter(due_at=None, ended_at=None).exists() != dry_run


def test_many_pages_in_a_row_are_no_circle(shop: Shop, hubspot: Simulator) -> None:
    hubspot.script(
        Scripted(200, {"total": 0}, path="/search"),
        *[
            Scripted(200, {"results": [], "paging": {"next": {"after": str(place)}}}, path=PAGES)
            for place in range(1, 21)
        ],
        Scripted(200, {"results": [], "paging": {}}, path=PAGES),
    )

    assert "0 contacts" in run("import_contacts", shop)
    row = ContactImport.objects.get()
    assert row.ended_at
    assert row.pages == 21


def test_the_command_tells_what_it_would_do_and_what_it_did(shop: Shop, hubspot: Simulator) -> None:
    hubspot.add_contact("ada@example.com")
    hubspot.add_contact("")

    assert run("import_contacts", shop, dry_run=True) == (
        "2 contacts: 1 would be created, 0 would be updated, 0 unchanged, 1 without e-mail,"
        " 0 refused\n"
    )
    assert not Customer.objects.exists()
    assert not ContactImport.objects.exists()
    assert told("customer.created") == 0
    assert "2 contacts: 1 created, 0 updated" in run("import_contacts", shop)


def test_without_a_token_or_with_a_void_one_the_command_says_so(
    shop: Shop, hubspot: Simulator
) -> None:
    hubspot.settings.void_tokens = [TOKEN]
    for options in ({}, {"dry_run": True}):
        said = run("import_contacts", shop, **options)
        assert "failed: Authentication credentials not found" in said
        assert TOKEN not in said
    shop.client.delete("/api/v1/crm/connection")
    assert "failed: There is no connection" in run("import_contacts", shop)
    assert "failed: There is no account" in run_of_nobody()


def run_of_nobody() -> str:
    try:
        call_command("import_contacts", account="nobody")
    except CommandError as error:
        return f"failed: {error}"
    return ""


def test_it_goes_on_where_it_was_interrupted(shop: Shop, hubspot: Simulator) -> None:
    for number in range(250):
        hubspot.add_contact(f"c{number}@many.example")
    account_id = shop.client.account.id
    start_import(account_id=account_id)
    import_some(account_id)
    importing.pause_import(account_id=account_id)
    assert not import_some()
    hubspot.forget_calls()

    assert "250 contacts: 250 created" in run("import_contacts", shop)
    assert len(hubspot.calls) == 2


def test_a_changed_token_begins_it_anew(shop: Shop, hubspot: Simulator) -> None:
    for number in range(150):
        hubspot.add_contact(f"c{number}@many.example")
    account_id = shop.client.account.id
    start_import(account_id=account_id)
    import_some(account_id)

    shop.connect(access_token="pat-another")
    assert import_some(account_id)
    assert "token was changed" in ContactImport.objects.get().error

    assert "150 contacts: 50 created, 100 updated" in run("import_contacts", shop)
