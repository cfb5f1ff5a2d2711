"""JSON Schema (2020-12) in few words, and the components that OpenAPI and event types share.

An app describes each of its objects once, beside the function that builds it (`events.py`); the same
schema documents the API's answer and validates the event's payload.
"""

from typing import Any

Schema = dict[str, Any]

COMPONENTS: dict[str, Schema] = {}


def component(name: str, schema: Schema, *, example: Any = None) -> Schema:
    """Register `schema` under `#/components/schemas/{name}` and return a reference to it."""
    COMPONENTS[name] = {**schema, "examples": [example]} if example is not None else schema
    return {"$ref": f"#/components/schemas/{name}"}


def obj(properties: dict[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    """An object with exactly `properties`, all required but the `optional` ones."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def string(description: str = "", **keywords: Any) -> Schema:
    return _typed("string", description, keywords)


def integer(description: str = "", **keywords: Any) -> Schema:
    return _typed("integer", description, keywords)


def number(description: str = "", **keywords: Any) -> Schema:
    return _typed("number", description, keywords)


def boolean(description: str = "") -> Schema:
    return _typed("boolean", description, {})


def uuid(description: str = "") -> Schema:
    return _typed("string", description, {"format": "uuid"})


def timestamp(description: str = "") -> Schema:
    return _typed("string", description, {"format": "date-time"})


def enum(values: list[str], description: str = "") -> Schema:
    return _typed("string", description, {"enum": values})


def array(items: Schema, description: str = "") -> Schema:
    return _typed("array", description, {"items": items})


def free_object(description: str = "") -> Schema:
    """An object whose members are the caller's own affair."""
    return _typed("object", description, {"additionalProperties": True})


def nullable(schema: Schema) -> Schema:
    """`schema` or null."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    widened = {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        widened["enum"] = [*schema["enum"], None]
    return widened


def page(item: Schema) -> Schema:
    """The answer of a list."""
    return obj(
        {
            "results": array(item),
            "next": nullable(string("URL of the next page.", format="uri")),
            "previous": nullable(string("URL of the previous page.", format="uri")),
        }
    )


def resolved(schema: Schema) -> Schema:
    """`schema` with the components it refers to beside it (`$defs`): complete in itself."""
    needed: dict[str, Schema] = {}
    inlined = _rewrite(schema, needed)
    return {**inlined, "$defs": needed} if needed else inlined


def _rewrite(node: Any, needed: dict[str, Schema]) -> Any:
    if isinstance(node, list):
        return [_rewrite(item, needed) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str):
        name = reference.rsplit("/", 1)[1]
        if name not in needed:
            needed[name] = {}  # before descending: a component may refer to itself
            needed[name] = _rewrite(COMPONENTS[name], needed)
        return {"$ref": f"#/$defs/{name}"}
    return {key: _rewrite(value, needed) for key, value in node.items()}


def _typed(kind: str, description: str, keywords: dict[str, Any]) -> Schema:
    schema: Schema = {"type": kind, **keywords}
    if description:
        schema["description"] = description
    return schema
