"""The catalogue: every type has a name, a summary and a schema that tools can use."""

import pytest
from jsonschema import Draft202012Validator

from apps.common.schemas import free_object
from apps.events.catalogue import EventType, define, event_types
from apps.events.patterns import PATTERN
from tests.support import ApiClient

types = pytest.mark.parametrize("kind", event_types(), ids=lambda kind: kind.name)


@types
def test_every_schema_is_json_schema_2020_12(kind: EventType) -> None:
    Draft202012Validator.check_schema(kind.schema())


@types
def test_every_type_can_be_subscribed_to_by_name(kind: EventType) -> None:
    assert PATTERN.fullmatch(kind.name)
    assert kind.summary


def test_the_catalogue_is_served_whole(someone: ApiClient) -> None:
    served = someone.get("/api/v1/event-types").json()["results"]

    assert [(each["type"], each["schema"]) for each in served] == [
        (kind.name, kind.schema()) for kind in event_types()
    ]


def test_a_schema_is_complete_in_itself(someone: ApiClient) -> None:
    for each in someone.get("/api/v1/event-types").json()["results"]:
        names = set(each["schema"].get("$defs", {}))
        assert references(each["schema"]) <= {f"#/$defs/{name}" for name in names}


def test_a_type_is_defined_once() -> None:
    kinds = event_types()
    if kinds:
        with pytest.raises(ValueError, match="twice"):
            define(kinds[0].name, "again", free_object())


def references(node: object) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(references, node))
    if not isinstance(node, dict):
        return set()
    here = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
    return here.union(*map(references, node.values()))
