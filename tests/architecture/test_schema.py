"""The OpenAPI schema: complete, without warnings, and true."""

import io
import re
from typing import Any

import orjson
import pytest
from django.conf import settings
from django.core.management import call_command
from django.urls import URLPattern, URLResolver, get_resolver
from jsonschema import Draft202012Validator

from apps.accounts.models import Account
from apps.common.api.views import ApiView
from apps.events.catalogue import event_types
from apps.events.models import Event
from tests.architecture.household import Household
from tests.architecture.operations import Operation, complete, openapi, operations
from tests.conftest import MakeAccount, MakeClient

# In somebody else's format, for its author alone.
FOREIGN = {("POST", "/api/v1/hubspot/webhooks")}

each_operation = pytest.mark.parametrize("operation", operations(), ids=str)


def test_the_schema_is_made_without_a_warning() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=io.StringIO())


def test_every_address_of_the_api_is_in_the_schema() -> None:
    served = {
        (method.upper(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", f"/{path}"))
        for path, view in _views(get_resolver())
        for method in ("get", "post", "put", "patch", "delete")
        if hasattr(view, method)
    }

    assert served - FOREIGN == {(each.method, each.path) for each in operations()}
    assert served


@each_operation
def test_every_call_is_explained(operation: Operation) -> None:
    spec = operation.spec

    assert spec["summary"]
    assert [tag for tag in spec["tags"] if tag not in _tags()] == []
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", spec["operationId"])
    scope = operation.view().required_scope(operation.method)
    assert scope is None or f"Scope: `{scope}`." in spec["description"]
    assert {"400", "401", "406", "429"} <= spec["responses"].keys()
    assert any(status.startswith("2") for status in spec["responses"])


def test_operation_ids_are_unique() -> None:
    ids = [each.spec["operationId"] for each in operations()]

    assert len(set(ids)) == len(ids)


@each_operation
def test_every_example_of_a_body_fits_its_schema(operation: Operation) -> None:
    if operation.body_schema is not None:
        validator = Draft202012Validator(complete(operation.body_schema))
        for example in operation.examples:
            validator.validate(example)


def test_every_body_has_an_example() -> None:
    assert [str(each) for each in operations() if each.body_schema and not each.examples] == []


def test_the_documented_bodies_are_accepted_one_after_the_other(
    api: MakeClient, make_account: MakeAccount
) -> None:
    """As somebody who presses Execute would send them, with the scopes of the demo's keys."""
    for slug in ("storefront", "seller", "buyer"):
        make_account(slug)
    shop = api("orders:write", account=Account.objects.get(slug="storefront"))
    seller = api("deals:write", "webhooks:write", account=Account.objects.get(slug="seller"))
    owner = api("accounts:write", account=shop.account)

    for client, paths in (
        (shop, ("storefronts", "products", "orders")),
        (seller, ("authorizations", "deals", "webhook-endpoints")),
        (owner, ("api-keys",)),
    ):
        for path in paths:
            for example in _operation("POST", path).examples:
                answer = client.post(f"/api/v1/{path}", example)
                assert answer.status_code == 201, (path, answer.content)


def test_one_click_on_each_is_enough_for_an_order(api: MakeClient) -> None:
    """What is offered first needs only what is offered first elsewhere."""
    shop = api("orders:write")

    for path in ("storefronts", "products", "orders"):
        answer = shop.post(f"/api/v1/{path}", _operation("POST", path).examples[0])
        assert answer.status_code == 201, (path, answer.content)


def test_the_documented_changes_are_accepted(household: Household) -> None:
    """Whatever the order: the first example suits every object that was just made."""
    household.client.post("/api/v1/products", _operation("POST", "products").examples[0])

    for each in operations():
        if each.method in ("PUT", "PATCH"):
            answer = household.client.request(each.method, each.url(household.ids), each.body())
            assert answer.status_code == 200, (str(each), answer.content)


@each_operation
def test_every_answer_has_an_example(operation: Operation) -> None:
    for status, answer in operation.spec["responses"].items():
        if status < "300" and "application/json" in answer.get("content", {}):
            schema = answer["content"]["application/json"]["schema"]
            one = schema if "$ref" in schema else schema["properties"]["results"]["items"]
            name = one["$ref"].rsplit("/", 1)[1]
            assert openapi()["components"]["schemas"][name]["examples"]


@each_operation
def test_every_refusal_has_an_example_of_its_own_status(operation: Operation) -> None:
    for status, answer in operation.spec["responses"].items():
        if "$ref" in answer:
            answer = openapi()["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
        shown = answer.get("content", {}).get("application/problem+json")
        assert (shown is not None) == (status >= "400")
        for example in shown["examples"].values() if shown else ():
            assert str(example["value"]["status"]) == status
            assert _faults(complete(shown["schema"]), example["value"]) == []
        assert shown is None or shown["examples"]


def test_what_is_not_there_is_refused_as_documented(household: Household) -> None:
    for each in operations():
        if each.path.endswith(("{sku}", "{external_id}")) or "{" not in each.path:
            continue
        answer = household.client.request(each.method, each.url(), each.body())
        shown = each.spec["responses"]["404"]["content"]["application/problem+json"]["examples"]
        (example,) = (one["value"] for one in shown.values())
        assert answer.status_code == 404, str(each)
        assert answer.json()["code"] == example["code"], str(each)
        assert answer.json()["title"] == example["title"], str(each)


@pytest.mark.parametrize("name", sorted(openapi()["components"]["schemas"]))
def test_every_component_is_json_schema_and_its_example_fits(name: str) -> None:
    schema = openapi()["components"]["schemas"][name]

    Draft202012Validator.check_schema(schema)
    for example in schema.get("examples", []):
        Draft202012Validator(complete(schema)).validate(example)


def test_every_answer_is_what_the_schema_says(household: Household) -> None:
    for each in household.reads():
        answer = household.client.get(each.url(household.ids))
        shown = each.spec["responses"][str(answer.status_code)]["content"]
        media_type = answer["Content-Type"].partition(";")[0]
        assert media_type in shown, str(each)
        if media_type == "application/json":
            schema = each.answer_schema(answer.status_code)
            assert schema is not None, str(each)
            assert _faults(schema, answer.json()) == [], str(each)


def test_formats_are_asked_for_by_accept_alone() -> None:
    assert [str(each) for each in operations() if "format" in each.parameters("query")] == []


def test_an_account_without_a_connection_is_answered_as_documented(api: MakeClient) -> None:
    client = api("customers:write")

    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/check")):
        answer = client.request(method, f"/api/v1/crm/connection{path}")
        assert answer.status_code == 404
        assert "404" in _operation(method, f"crm/connection{path}").spec["responses"]


def test_every_read_refuses_to_answer_in_a_format_that_it_lacks(household: Household) -> None:
    for each in household.reads():
        answer = household.client.get(each.url(household.ids), headers={"Accept": "image/png"})

        assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable"), str(each)


def test_every_event_is_what_its_type_says(household: Household) -> None:
    schemas = {kind.name: kind.schema() for kind in event_types()}
    events = list(Event.objects.all())

    for event in events:
        body = orjson.loads(bytes(event.payload))
        assert _faults(schemas[event.type], body) == [], event.type
    assert len({event.type for event in events}) >= 3


def _operation(method: str, path: str) -> Operation:
    (found,) = (each for each in operations() if str(each) == f"{method} /api/v1/{path}")
    return found


def _faults(schema: dict[str, Any], value: Any) -> list[str]:
    checker = Draft202012Validator.FORMAT_CHECKER
    validator = Draft202012Validator(schema, format_checker=checker)
    return [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(value)]


def _tags() -> list[str]:
    return [tag["name"] for tag in settings.SPECTACULAR_SETTINGS["TAGS"]]


def _views(node: URLResolver, prefix: str = "") -> list[tuple[str, type[ApiView]]]:
    """Every path that an ApiView answers."""
    found: list[tuple[str, type[ApiView]]] = []
    for each in node.url_patterns:
        path = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            found += _views(each, path)
        elif isinstance(each, URLPattern):
            view = getattr(each.callback, "view_class", None)
            if isinstance(view, type) and issubclass(view, ApiView):
                found.append((path, view))
    return found


def test_every_event_type_is_among_the_webhooks() -> None:
    webhooks = openapi()["webhooks"]

    assert webhooks.keys() == {kind.name for kind in event_types()}
    ids = [each["post"]["operationId"] for each in webhooks.values()]
    assert len(set(ids)) == len(ids)


def test_the_webhooks_describe_the_events_that_there_are(household: Household) -> None:
    webhooks = openapi()["webhooks"]

    for event in Event.objects.all():
        content = webhooks[event.type]["post"]["requestBody"]["content"]["application/json"]
        assert _faults(complete(content["schema"]), orjson.loads(bytes(event.payload))) == []
