"""The back office of accounts: what people may see and do there."""

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client

from apps.accounts.models import ApiKey, User
from tests.conftest import MakeAccount, MakeClient
from tests.support.backoffice import act

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def test_the_chosen_keys_are_revoked(staff: Client, api: MakeClient) -> None:
    revoked, before, kept = api(), api(), api()
    before.delete(f"/api/v1/api-keys/{before.key.id}")

    said = act(staff, "accounts/apikey", "revoke", revoked.key.pk, before.key.pk)

    assert f"{revoked.key.prefix} is revoked." in said
    assert "The key has been revoked" in said
    assert revoked.get("/api/v1/me").status_code == 401
    assert kept.get("/api/v1/me").status_code == 200


def issue_form(staff: Client, slug: str, **changed: Any) -> dict[str, Any]:
    """What a person sends who opens the form and fills it in."""
    form = staff.get("/admin/accounts/apikey/add/").context["form"]
    filled = {
        "key_id": str(form.initial["key_id"]),
        "account": slug,
        "name": "Warehouse",
        "scopes": ["orders:read"],
        "expires_at": "",
        "rate_limit": "60",
    }
    return {**filled, **changed}


def shown_once(answer: Any) -> str:
    """The key on the page that shows it."""
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    return str(answer.context["secret"])


def test_a_key_is_issued_and_shown_once(staff: Client, make_account: MakeAccount) -> None:
    account = make_account("shop")
    form = issue_form(staff, "shop")

    answer = staff.post("/admin/accounts/apikey/add/", form)

    plain = shown_once(answer)
    assert plain in answer.content.decode()
    me = Client().get("/api/v1/me", headers={"X-API-Key": plain}).json()
    assert (me["account"]["id"], me["key"]["scopes"]) == (str(account.pk), ["orders:read"])
    key = ApiKey.objects.get()
    assert key.rate_limit == 60
    again = staff.post("/admin/accounts/apikey/add/", form, follow=True)
    assert "was sent before" in again.content.decode()
    assert ApiKey.objects.count() == 1
    for page in ("", f"{key.pk}/change/", f"{key.pk}/history/"):
        assert plain not in staff.get(f"/admin/accounts/apikey/{page}").content.decode()
    assert plain not in str([dict(session.get_decoded()) for session in Session.objects.all()])
    assert plain not in str(list(LogEntry.objects.values()))
    assert LogEntry.objects.get().get_change_message() == "Issued."


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"account": "nobody"}, "There is no account"),
        ({"scopes": []}, "This field is required"),
        ({"scopes": ["orders:everything"]}, "Select a valid choice"),
        ({"expires_at": "2001-01-01T00:00"}, "a time that is still to come"),
        ({"key_id": "1"}, "Open this page anew"),
        ({"rate_limit": "0"}, "greater than or equal to 1"),
    ],
)
def test_a_key_that_cannot_be_is_not_issued(
    staff: Client, make_account: MakeAccount, changed: dict[str, Any], said: str
) -> None:
    make_account("shop")

    answer = staff.post("/admin/accounts/apikey/add/", issue_form(staff, "shop", **changed))

    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_a_key_is_rotated_and_its_successor_shown_once(staff: Client, api: MakeClient) -> None:
    old = api("orders:read")
    chosen = {"_selected_action": str(old.key.pk), "overlap_seconds": "3600"}
    form = {**chosen, "confirmation": str(uuid4())}

    plain = shown_once(staff.post("/admin/accounts/apikey/act/rotate/", form))
    again = staff.post("/admin/accounts/apikey/act/rotate/", form, follow=True)

    assert Client().get("/api/v1/me", headers={"X-API-Key": plain}).status_code == 200
    assert old.get("/api/v1/me").status_code == 200
    assert "This was sent before" in again.content.decode()
    anew = {**chosen, "confirmation": str(uuid4())}
    refused = staff.post("/admin/accounts/apikey/act/rotate/", anew, follow=True)
    assert "has been rotated before" in refused.content.decode()
    assert ApiKey.objects.count() == 2
    assert plain not in again.content.decode()


def test_an_account_is_edited_by_the_service_of_the_api(
    staff: Client, make_account: MakeAccount
) -> None:
    account = make_account("shop")
    form = {"name": "Shop", "legal_name": "Shop Ltd", "address": "", "email": "", "tax_id": ""}

    answer = staff.post(
        f"/admin/accounts/account/{account.pk}/change/",
        {**form, "tax_rate": "19", "api_keys-TOTAL_FORMS": "0", "api_keys-INITIAL_FORMS": "0"},
    )

    assert answer.status_code == 302, answer.context["errors"]
    account.refresh_from_db()
    assert (account.legal_name, account.version) == ("Shop Ltd", 2)
    assert "Legal name" in LogEntry.objects.get().get_change_message()


def test_what_people_change_is_found_by_person_and_by_object(
    staff: Client, api: MakeClient
) -> None:
    key = api().key
    act(staff, "accounts/apikey", "revoke", key.pk)

    for asked in ("boss", str(key.pk)):
        found = staff.get("/admin/admin/logentry/", {"q": asked}).content.decode()
        assert "is revoked." in found
    assert "is revoked." not in staff.get("/admin/admin/logentry/", {"q": "clerk"}).content.decode()


def test_no_page_shows_the_hash_of_a_key(staff: Client, api: MakeClient) -> None:
    key = ApiKey.objects.get(pk=api().key.pk)

    for page in (
        "/admin/accounts/apikey/",
        f"/admin/accounts/apikey/{key.pk}/change/",
        f"/admin/accounts/account/{key.account_id}/change/",
    ):
        shown = staff.get(page)
        assert shown.status_code == 200
        assert bytes(key.hash).hex() not in shown.content.decode()
        assert str(bytes(key.hash)) not in shown.content.decode()
        assert "field-hash" not in shown.content.decode()


def test_staff_without_rights_sees_nothing(api: MakeClient) -> None:
    client = Client()
    client.force_login(User.objects.create_user("clerk", is_staff=True))

    assert client.get("/admin/accounts/apikey/").status_code == 403


def test_changes_are_found_by_the_id_of_their_object_without_reading_all(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN SELECT id FROM django_admin_log WHERE object_id = 'x'")
        plan = str(cursor.fetchall())

    assert "admin_log_object" in plan
