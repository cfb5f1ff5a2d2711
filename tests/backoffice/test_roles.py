"""Who may do what: the table of roles against what there is."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.test import Client
from pytest_django.fixtures import Settings

from apps.accounts.models import User
from apps.backoffice.roles import PAGES, Page, Role, establish_roles, permissions_of
from apps.common.admin import Action
from tests.backoffice.conftest import SignIn
from tests.conftest import MakeClient

pytestmark = pytest.mark.django_db

REGISTERED: dict[str, Any] = {
    model._meta.label: page for model, page in admin.site._registry.items()
}
ACTIONS = [
    (label, page, action)
    for label, page in REGISTERED.items()
    for action in getattr(page, "acts", {}).values()
]
GRANTED = {role: set(permissions_of(role)) for role in Role}


def own_permissions() -> set[str]:
    """Those that a model of ours declares beside the four that Django makes for each."""
    return {
        f"{label.lower().partition('.')[0]}.{codename}"
        for label, page in REGISTERED.items()
        for codename, _ in page.opts.permissions
    }


def asked_for(label: str, permission: str) -> str:
    """What an action asks for, by its whole name."""
    app, _, model = label.lower().partition(".")
    return permission if "." in permission else f"{app}.{permission}_{model}"


def url_of(label: str) -> str:
    return f"/admin/{label.lower().replace('.', '/')}/"


def test_the_table_names_every_page_and_no_other() -> None:
    assert set(PAGES) == set(REGISTERED)


def test_every_permission_of_a_models_own_is_given_to_somebody_or_nobody() -> None:
    named = {
        f"{label.lower().partition('.')[0]}.{codename}"
        for label, page in PAGES.items()
        for codename in page.own
    }

    assert named == own_permissions()


@pytest.mark.parametrize(
    ("label", "action"),
    [(label, action) for label, _, action in ACTIONS],
    ids=[f"{label}.{action.name}" for label, _, action in ACTIONS],
)
def test_every_action_is_somebodys(label: str, action: Action) -> None:
    permission = asked_for(label, action.permission)

    assert any(permission in granted for granted in GRANTED.values())


def test_every_action_of_djangos_kind_is_guarded() -> None:
    unguarded = [
        (label, name)
        for label, page in REGISTERED.items()
        for function, name, _ in page._get_base_actions()
        if name != "delete_selected" and not getattr(function, "allowed_permissions", None)
    ]

    assert unguarded == []


def test_a_viewer_changes_nothing_and_nobody_deletes() -> None:
    assert all(name.partition(".")[2].startswith("view_") for name in GRANTED[Role.VIEWER])
    for role in Role:
        assert not [name for name in GRANTED[role] if ".delete_" in name]
        assert GRANTED[Role.VIEWER] <= GRANTED[role]


def test_business_money_and_people_are_three_persons() -> None:
    changes = {
        # Whoever may start a bulk action may end one.
        role: {name for name in GRANTED[role] if ".view_" not in name}
        - {"common.change_bulkaction"}
        for role in (Role.OPERATOR, Role.FINANCE, Role.ADMINISTRATOR)
    }

    assert {"orders.change_order", "deals.change_deal"} <= changes[Role.OPERATOR]
    assert "deals.change_invoice" in changes[Role.FINANCE]
    assert {"accounts.add_apikey", "accounts.change_user"} <= changes[Role.ADMINISTRATOR]
    assert not changes[Role.OPERATOR] & changes[Role.FINANCE]
    assert not changes[Role.OPERATOR] & changes[Role.ADMINISTRATOR]
    assert not changes[Role.FINANCE] & changes[Role.ADMINISTRATOR]


def test_groups_are_made_and_put_right(monkeypatch: pytest.MonkeyPatch) -> None:
    establish_roles()
    viewers = Group.objects.get(name="viewer")
    gone = Permission.objects.get(codename="view_order")
    viewers.permissions.remove(gone)
    viewers.permissions.add(Permission.objects.get(codename="change_order"))
    gone.delete()  # as where a process died between a migration and what Django does after it

    establish_roles()

    held = {
        f"{app}.{codename}"
        for app, codename in viewers.permissions.values_list("content_type__app_label", "codename")
    }
    assert held == GRANTED[Role.VIEWER]


def test_a_later_release_changes_what_a_role_may(monkeypatch: pytest.MonkeyPatch) -> None:
    establish_roles()
    monkeypatch.setitem(PAGES, "orders.Order", Page(view=(Role.OPERATOR,)))

    establish_roles()

    person = User.objects.create_user("v", is_staff=True)
    person.groups.add(Group.objects.get(name="viewer"))
    assert not person.has_perm("orders.view_order")


def test_a_group_of_ones_own_is_left_alone() -> None:
    night = Group.objects.create(name="night shift")
    night.permissions.add(Permission.objects.get(codename="change_order"))

    establish_roles()

    assert night.permissions.count() == 1


@pytest.mark.slow
def test_preparing_makes_the_roles(settings: Settings, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path

    call_command("prepare")

    assert set(Group.objects.values_list("name", flat=True)) == set(Role)


@pytest.mark.parametrize("role", Role)
def test_each_role_opens_what_it_may_look_at_and_nothing_else(
    role: Role, signed_in: SignIn
) -> None:
    client = signed_in(role)

    for label, page in PAGES.items():
        expected = 200 if role in page.view else 403
        assert client.get(url_of(label)).status_code == expected, label


@pytest.mark.parametrize("role", Role)
def test_each_role_acts_as_far_as_it_may(role: Role, signed_in: SignIn) -> None:
    client = signed_in(role)

    for label, _, action in ACTIONS:
        may = asked_for(label, action.permission) in GRANTED[role]
        address = f"{url_of(label)}act/{action.name}/"
        assert client.get(address).status_code == (200 if may else 403), (label, action.name)
        if not may:
            assert client.post(address).status_code == 403, (label, action.name)


def test_who_may_not_act_is_not_offered_it(signed_in: SignIn, api: MakeClient) -> None:
    key = api().key
    pages = [signed_in(Role.VIEWER), signed_in(Role.ADMINISTRATOR)]

    viewer, administrator = (
        client.get(f"/admin/accounts/apikey/{key.pk}/change/").content.decode() for client in pages
    )

    assert "/act/revoke/" in administrator
    assert "/act/revoke/" not in viewer
    assert "/act/rotate/" not in viewer


@pytest.fixture
def boss(db: None) -> User:
    return User.objects.create_superuser("boss", password="a good pass phrase")


def test_an_administrator_makes_no_superuser(signed_in: SignIn, boss: User) -> None:
    client = signed_in(Role.ADMINISTRATOR)
    person = User.objects.create_user("clerk")

    answer = client.post(
        f"/admin/accounts/user/{person.pk}/change/",
        {
            "username": "clerk",
            "is_active": "on",
            "is_staff": "on",
            "is_superuser": "on",
            "user_permissions": [str(Permission.objects.get(codename="delete_user").pk)],
        },
    )

    assert answer.status_code == 302
    person.refresh_from_db()
    assert person.is_staff
    assert not person.is_superuser
    assert not person.user_permissions.exists()


def test_only_superusers_touch_a_superuser(signed_in: SignIn, boss: User) -> None:
    client = signed_in(Role.ADMINISTRATOR)

    password = {"password1": "another pass phrase", "password2": "another pass phrase"}
    changed = client.post(f"/admin/accounts/user/{boss.pk}/password/", password)
    said = client.post(
        "/admin/accounts/user/act/sign_out/",
        {"_selected_action": str(boss.pk), "confirmation": str(uuid4())},
        follow=True,
    )

    assert changed.status_code == 403
    assert "on whom only superusers act" in said.content.decode()
    before = boss.session_epoch
    boss.refresh_from_db()
    assert boss.check_password("a good pass phrase")
    assert boss.session_epoch == before


def test_roles_are_changed_by_nobody_but_the_code(signed_in: SignIn) -> None:
    group = Group.objects.get(name="viewer")

    answer = signed_in(Role.ADMINISTRATOR).post(
        f"/admin/auth/group/{group.pk}/change/", {"name": "viewer", "permissions": []}
    )

    assert answer.status_code == 403
    assert Client().get("/admin/auth/group/").status_code == 302


def test_nobody_deletes_a_role(admin_client: Client) -> None:
    establish_roles()
    group = Group.objects.get(name="operator")
    body = {"action": "delete_selected", "_selected_action": [str(group.pk)], "post": "yes"}

    assert admin_client.post(f"/admin/auth/group/{group.pk}/delete/", body).status_code == 403
    admin_client.post("/admin/auth/group/", body)

    assert Group.objects.filter(pk=group.pk).exists()
