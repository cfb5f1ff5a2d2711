"""The calls of the API as its OpenAPI schema lists them: what tests over all of them walk."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from django.urls import resolve
from drf_spectacular.generators import SchemaGenerator

from apps.common.api.views import ApiView
from apps.common.ids import uuid7

Schema = dict[str, Any]


@cache
def openapi() -> Schema:
    """The whole schema, as `/api/schema/` serves it."""
    generator: Any = SchemaGenerator  # untyped
    schema: Schema = generator().get_schema(request=None, public=True)
    return schema


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    spec: Schema

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def parameters(self, place: str) -> list[str]:
        """Names of its parameters in `path`, `query` or `header`."""
        return [each["name"] for each in self.spec.get("parameters", []) if each["in"] == place]

    def url(self, ids: dict[str, str] | None = None) -> str:
        """Its path with these ids in it; a new id where there is none."""
        made = {name: str(uuid7()) for name in self.parameters("path")}
        return self.path.format(**{**made, **(ids or {})})

    @property
    def view(self) -> type[ApiView]:
        """The class that answers it."""
        found: type[ApiView] = resolve(self.url()).func.view_class  # type: ignore[attr-defined]
        return found

    @property
    def body_schema(self) -> Schema | None:
        """The JSON Schema of its body, None when it takes none."""
        content = self.spec.get("requestBody", {}).get("content", {})
        return content.get("application/json", {}).get("schema") if content else None

    @property
    def examples(self) -> list[Any]:
        """Bodies that the documentation shows."""
        content = self.spec.get("requestBody", {}).get("content", {}).get("application/json", {})
        return [each["value"] for each in content.get("examples", {}).values()]

    def body(self) -> Any:
        """A body of the right shape: an example, or else what the schema requires; None for none."""
        if self.body_schema is None:
            return None
        return self.examples[0] if self.examples else sample(self.body_schema)

    def answer_schema(self, status: int) -> Schema | None:
        """The JSON Schema of its JSON answer, complete in itself."""
        content = self.spec["responses"].get(str(status), {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        return complete(schema) if schema is not None else None


@cache
def operations() -> tuple[Operation, ...]:
    """Every call of the API."""
    return tuple(
        Operation(method.upper(), path, spec)
        for path, methods in openapi()["paths"].items()
        for method, spec in methods.items()
        if method != "parameters"
    )


def complete(schema: Schema) -> Schema:
    """`schema` with the components beside it, so that its references lead somewhere."""
    return {**schema, "components": openapi()["components"]}


def sample(schema: Schema) -> Any:
    """Something that `schema` lets through: only what is required, as little as possible."""
    if "$ref" in schema:
        return sample(openapi()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    for variants in ("allOf", "oneOf", "anyOf"):
        if variants in schema:
            return sample(schema[variants][0])
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        members = schema.get("properties", {})
        return {name: sample(members[name]) for name in schema.get("required", [])}
    if kind == "array":
        return [sample(schema["items"])] * schema.get("minItems", 0)
    if kind == "integer":
        return max(1, schema.get("minimum", 1))
    if schema.get("format") == "uuid":
        return str(uuid7())
    return {"boolean": True, "string": "x" * max(1, schema.get("minLength", 1))}.get(str(kind))
