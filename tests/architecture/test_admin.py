"""Every page of the back office opens, and none of them shows a secret."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts.models import User
from apps.backoffice import navigation
from tests.architecture.household import Household

MODELS = [model for model in admin.site._registry if model._meta.app_label != "auth"]

FEW = {"accounts.User"}  # a page of all there are


@pytest.fixture
def staff(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def page_of(model: type[models.Model], page: str, *arguments: object) -> str:
    meta = model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{page}", args=arguments)


def test_every_page_opens(household: Household, staff: Client) -> None:
    empty = []
    for model in MODELS:
        listed = staff.get(page_of(model, "changelist"))
        assert listed.status_code == 200, model
        one = model._default_manager.first()
        if one is None:
            empty.append(model.__name__)
            continue
        shown = staff.get(page_of(model, "change", one.pk))
        assert shown.status_code == 200, model
        for secret in household._secrets:
            assert secret not in listed.content.decode() + shown.content.decode(), model

    assert len(empty) < len(MODELS) / 2, empty


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_searching_for_anything_opens_too(model: type[models.Model], staff: Client) -> None:
    for asked in ("a", "%", "\u0000", "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a11", "9" * 50):
        answer = staff.get(page_of(model, "changelist"), {"q": asked})
        assert answer.status_code in (200, 302), (model, asked)


def test_every_model_is_in_the_sidebar_or_said_not_to_be() -> None:
    """A new one goes into one of the three lists of apps/backoffice/navigation.py."""
    shown = {label for _, pages in navigation.GROUPS for label, *_ in pages}
    ours = {
        model._meta.label for model in apps.get_models() if model.__module__.startswith("apps.")
    }
    with_page = {model._meta.label for model in admin.site._registry}

    assert shown | navigation.HIDDEN == with_page
    assert shown.isdisjoint(navigation.HIDDEN)
    assert ours - with_page == navigation.UNSHOWN


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_list_counts_a_table_or_looks_for_all_its_values(
    model: type[models.Model], staff: Client
) -> None:
    with CaptureQueriesContext(connection) as queries:
        staff.get(page_of(model, "changelist"))
    asked = [one["sql"] for one in queries if model._meta.db_table in one["sql"]]

    slow = [sql for sql in asked if "COUNT(" in sql or "DISTINCT" in sql]
    assert model._meta.label in FEW or slow == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_nothing_is_deleted_by_hand(model: type[models.Model], rf: RequestFactory) -> None:
    request = rf.get("/admin/")
    request.user = User(is_superuser=True, is_staff=True)
    page = admin.site._registry[model]

    assert not page.has_delete_permission(request)
    assert "delete_selected" not in page.get_actions(request)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_strangers_are_sent_to_the_door(model: type[models.Model]) -> None:
    answer = Client().get(page_of(model, "changelist"))

    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_who_may_only_look_is_offered_no_action(
    model: type[models.Model], db: None, rf: RequestFactory
) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    permission = Permission.objects.get(
        codename=f"view_{model._meta.model_name}", content_type__app_label=model._meta.app_label
    )
    viewer.user_permissions.add(permission)
    request = rf.get("/admin/")
    request.user = viewer

    page = admin.site._registry[model]

    assert page.has_view_permission(request)
    assert page.get_actions(request) == {}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_address_of_a_list_makes_it_fail(model: type[models.Model], staff: Client) -> None:
    path = page_of(model, "changelist")
    names = ["made", "request", *(field.name for field in model._meta.concrete_fields)]
    queries = [f"{name}=%00" for name in names]
    if model._meta.label not in FEW:
        queries += [f"{model._meta.pk.name}__regex=("]
    for query in (*queries, "p=x&all=", "o=1.-2.99.x", "_facets=1"):
        assert staff.get(f"{path}?{query}").status_code in (200, 302, 400), query


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_odd_choice_makes_an_action_fail(model: type[models.Model], staff: Client) -> None:
    for name in getattr(admin.site._registry[model], "acts", {}):
        path = page_of(model, "act", name)
        for one in ("x", "\0", "9" * 50):
            assert staff.get(path, {"_selected_action": one}).status_code == 200, one
        assert staff.post(path, {"_selected_action": "\0"}).status_code == 200
        assert staff.get(path, {"select_across": "1"}).status_code in (200, 400)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_odd_id_makes_a_page_fail(model: type[models.Model], staff: Client) -> None:
    for one in ("x", "_00", "9" * 50):
        assert staff.get(page_of(model, "change", one)).status_code == 302, one


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_address_makes_a_list_read_the_whole_table(
    model: type[models.Model], staff: Client, rf: RequestFactory
) -> None:
    """To be sorted by what has no index, narrowed by what is no filter, counted for each filter."""
    if model._meta.label in FEW:
        return
    page = admin.site._registry[model]
    columns = ".".join(map(str, range(1, len(page.list_display) + 1)))

    listed = staff.get(page_of(model, "changelist"), {"o": columns, "_facets": "1"}).context["cl"]

    assert set(listed.queryset.query.order_by) == set(page.ordering or ())
    assert not listed.add_facets
    for field in model._meta.concrete_fields:
        assert not page.lookup_allowed(f"{field.name}__contains", "a", rf.get("/"))


@pytest.mark.parametrize("door", ["r/{kind}/x/", "r/x/x/", "autocomplete/?{field}&term=%00"])
def test_doors_that_nothing_leads_to_are_closed(staff: Client, door: str) -> None:
    kind = ContentType.objects.get_for_model(User).pk
    field = "app_label=orders&model_name=order&field_name=account"

    assert staff.get(f"/admin/{door.format(kind=kind, field=field)}").status_code == 404


@pytest.mark.parametrize("page", ["x", "0", "-1", "99", ""])
def test_no_page_makes_the_search_fail(staff: Client, page: str) -> None:
    answer = staff.get("/admin/search/", {"s": "order", "extended": "1", "page": page})
    assert answer.status_code == 200
    assert "/admin/orders/order/" in answer.content.decode()


def test_strangers_find_nothing(db: None) -> None:
    answer = Client().get("/admin/search/", {"s": "order"})
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")
