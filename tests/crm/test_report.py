"""What differs between here and there, told by the command; nothing is changed by it."""

import csv
import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.crm.models import Contact, Customer
from sandbox.hubspot.server import Simulator
from sandbox.hubspot.settings import Scripted
from tests.crm.support import TOKEN, Shop, portal, sync

pytestmark = pytest.mark.django_db


def report(shop: Shop, **options: Any) -> tuple[int, str]:
    """The exit status and what was written."""
    out = StringIO()
    try:
        call_command(
            "sync_report", account=shop.client.account.slug, stdout=out, stderr=out, **options
        )
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}"
    return 0, out.getvalue()


def differences(shop: Shop, **options: Any) -> list[tuple[str, ...]]:
    """(kind, e-mail, property, here, there)"""
    _, said = report(shop, json=True, **options)
    rows = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return [(row["kind"], row["email"], row["property"], row["here"], row["there"]) for row in rows]


def test_sides_that_agree_differ_in_nothing(shop: Shop, hubspot: Simulator) -> None:
    for number in range(3):
        shop.add(f"c{number}@example.com", first_name="A")
    sync()
    hubspot.forget_calls()
    before = list(Contact.objects.values()), list(Customer.objects.values())

    assert report(shop) == (0, "No differences.\n")

    assert (list(Contact.objects.values()), list(Customer.objects.values())) == before
    assert [call.size for call in hubspot.calls] == [3]


def test_each_kind_of_difference_is_told(shop: Shop, hubspot: Simulator) -> None:
    shop.connect(missing_contact="skip")
    names = ("same", "edited", "archived", "gone", "merged")
    ids = {name: hubspot.add_contact(f"{name}@x.co", firstname="A").id for name in names}
    for name in names:
        shop.add(f"{name}@x.co", first_name="A")
    here = shop.add("here@x.co")
    sync()
    contacts = hubspot.records.contacts
    hubspot.edit_contact(ids["edited"], firstname="B", lastname="C", phone="not mapped")
    hubspot.delete_contact(ids["archived"])
    del contacts[ids["gone"]]
    primary = hubspot.add_contact("primary@x.co")
    hubspot.merge_contacts(primary.id, ids["merged"])
    hubspot.add_contact("stranger@x.co")
    late = hubspot.add_contact("late@x.co", firstname="L")
    shop.add("late@x.co", first_name="Late")

    assert sorted(differences(shop, only_there=True)) == [
        ("archived", "archived@x.co", "", "", ""),
        ("different", "edited@x.co", "firstname", "A", "B"),
        ("different", "edited@x.co", "lastname", "", "C"),
        ("different", "late@x.co", "firstname", "Late", "L"),
        ("gone", "gone@x.co", "", "", ""),
        ("merged", "merged@x.co", "", "", primary.id),
        ("only_here", "here@x.co", "", "", ""),
        ("only_there", "stranger@x.co", "", "", ""),
        ("unlinked", "late@x.co", "", "", late.id),
    ]
    status, said = report(shop)
    assert status == 1
    assert "8 differences: 1 archived, 3 different, 1 gone, 1 merged, 1 only_here" in said
    assert f"{here['id']} here@x.co: only_here (skipped)" in said
    _, said = report(shop, csv=True)
    rows = list(csv.DictReader(StringIO(said.rpartition("\n")[0])))
    assert {row["kind"] for row in rows} >= {"archived", "different"}


def test_it_asks_for_a_hundred_at_once_within_the_budget(shop: Shop, hubspot: Simulator) -> None:
    ids = [hubspot.add_contact(f"c{index}@many.example", firstname="A").id for index in range(250)]
    shop.add_many(250, contact_ids=ids)
    shop.add("without@example.com")

    assert report(shop)[0] == 1

    assert [call.size for call in hubspot.calls] == [100, 100, 50, 1]
    assert portal().calls == 4


def test_additional_addresses_are_no_difference(shop: Shop, hubspot: Simulator) -> None:
    hubspot.add_contact("ada@example.com", hs_additional_emails="augusta@example.com")
    shop.add("augusta@example.com")
    sync()

    assert report(shop)[0] == 0


def test_what_passes_is_waited_for(shop: Shop, hubspot: Simulator) -> None:
    shop.add("ada@example.com")
    sync()
    hubspot.script(Scripted(429, {"policyName": "SECONDLY"}, headers={"Retry-After": "0"}))

    assert report(shop)[0] == 0


def test_what_does_not_pass_is_told_with_its_own_status(shop: Shop, hubspot: Simulator) -> None:
    shop.add("ada@example.com")
    sync()
    hubspot.script(Scripted(400, {"message": "Invalid property"}))
    assert report(shop) == (2, "Invalid property")
    hubspot.settings.void_tokens = [TOKEN]
    for _ in range(2):  # the second time nobody asks
        status, said = report(shop)
        assert (status, TOKEN in said) == (2, False)
    shop.client.delete("/api/v1/crm/connection")
    assert report(shop)[0] == 2


def test_a_spreadsheet_takes_nothing_for_a_formula(shop: Shop, hubspot: Simulator) -> None:
    contact = hubspot.add_contact("ada@example.com", firstname="A")
    shop.add("ada@example.com", first_name="A")
    sync()
    hubspot.edit_contact(contact.id, firstname='=HYPERLINK("https://evil.example")')

    _, said = report(shop, csv=True)

    (row,) = csv.DictReader(StringIO(said.rpartition("\n")[0]))
    assert (row["here"], row["there"]) == ("A", '\'=HYPERLINK("https://evil.example")')
