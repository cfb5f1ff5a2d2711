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

from apps.common.api.views import ApiView
from apps.events.catalogue import event_types
from apps.events.models import Event
from tests.architecture.household import Household
from tests.architecture.operations import Operation, complete, openapi, operations

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

    assert served == {(each.method, each.path) for each in operations()}
    assert served


@each_operation
def test_every_call_is_explained(operation: Operation) -> None:
    spec = operation.spec

    assert spec["summary"]
    assert [tag for tag in spec["tags"] if tag not in _tags()] == []
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", spec["operationId"])
    assert {"400", "401", "429"} <= spec["responses"].keys()
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


@pytest.mark.parametrize("name", sorted(openapi()["components"]["schemas"]))
def test_every_component_is_json_schema_and_its_example_fits(name: str) -> None:
    schema = openapi()["components"]["schemas"][name]

    Draft202012Validator.check_schema(schema)
    for example in schema.get("examples", []):
        Draft202012Validator(complete(schema)).validate(example)


def test_every_answer_is_what_the_schema_says(household: Household) -> None:
    for each in household.reads():
        answer = household.client.get(each.url(household.ids))
        schema = each.answer_schema(answer.status_code)
        assert schema is not None, str(each)
        assert _faults(schema, answer.json()) == [], str(each)


def test_every_event_is_what_its_type_says(household: Household) -> None:
    schemas = {kind.name: kind.schema() for kind in event_types()}
    events = list(Event.objects.all())

    for event in events:
        body = orjson.loads(bytes(event.payload))
        assert _faults(schemas[event.type], body) == [], event.type
    assert len({event.type for event in events}) >= 3


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
