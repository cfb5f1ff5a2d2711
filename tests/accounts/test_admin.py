"""The back office of accounts: what people may see and do there."""

import pytest
from django.test import Client

from apps.accounts.models import ApiKey, User
from tests.conftest import MakeClient

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def test_the_chosen_keys_are_revoked(staff: Client, api: MakeClient) -> None:
    revoked, before, kept = api(), api(), api()
    before.delete(f"/api/v1/api-keys/{before.key.id}")
    chosen = [str(revoked.key.pk), str(before.key.pk)]

    answer = staff.post(
        "/admin/accounts/apikey/", {"action": "revoke", "_selected_action": chosen}, follow=True
    )

    assert sorted(str(message) for message in answer.context["messages"]) == sorted(
        [f"{revoked.key.prefix} is revoked.", f"{before.key.prefix} was revoked before."]
    )
    assert revoked.get("/api/v1/me").status_code == 401
    assert kept.get("/api/v1/me").status_code == 200


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
