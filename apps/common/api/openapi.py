"""The OpenAPI schema: what every call has in common is said here once, not in each view."""

from typing import Any, Literal

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.serializers import ListSerializer

from apps.common.api.problems import PROBLEM
from apps.common.api.views import ApiView
from apps.common.schemas import COMPONENTS

_WRITES = ("POST", "PUT", "PATCH", "DELETE")

_ERRORS = {
    "400": "The request is not valid; `errors` says where.",
    "401": "The key is missing, unknown, expired or revoked.",
    "403": "The key lacks the scope of this call.",
    "404": "There is no such object, or this key may not see it.",
    "409": "The object's present state does not allow this, or a request with the same "
    "`Idempotency-Key` is still in flight.",
    "412": "The object has changed since you read it (`If-Match`).",
    "413": "The body is larger than 1 MiB.",
    "415": "The body is not `application/json`.",
    "422": "This `Idempotency-Key` was used for another request.",
    "429": "Too many calls; `Retry-After` says when to go on.",
    "503": "Busy or unavailable for a moment; `Retry-After` says when to try again.",
}


def _header(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(
        name, OpenApiTypes.STR, OpenApiParameter.HEADER, description=description
    )


_IDEMPOTENCY_KEY = _header(
    "Idempotency-Key", "A key of your making (a random UUID). A retry with it has no second effect."
)
_IF_MATCH = _header("If-Match", "The `ETag` you read: 412 when the object has changed since.")
_IF_NONE_MATCH = _header("If-None-Match", "The `ETag` you have: 304 when it is still current.")


class ApiSchema(AutoSchema):
    """Adds the scope to each description, the conditional headers and every error answer."""

    def get_override_parameters(self) -> list[Any]:
        parameters: list[Any] = []
        if self.method == "POST":
            parameters.append(_IDEMPOTENCY_KEY)
        elif self.method in ("PUT", "PATCH", "DELETE"):
            parameters.append(_IF_MATCH)
        elif self._is_object:
            parameters.append(_IF_NONE_MATCH)
        return parameters

    def get_description(self) -> str:  # type: ignore[override]  # spectacular's own signature
        description = super().get_description() or ""
        scope = self._scope()
        return f"{description}\n\nScope: `{scope}`." if scope else description

    def _map_serializer_field(
        self, field: Any, direction: Any, bypass_extensions: bool = False
    ) -> Any:
        """Spectacular leaves out how many objects a list may have."""
        plain: Any = super()._map_serializer_field
        schema = plain(field, direction, bypass_extensions)
        if isinstance(field, ListSerializer):
            for keyword, bound in (("minItems", "min_length"), ("maxItems", "max_length")):
                if getattr(field, bound) is not None:
                    schema[keyword] = getattr(field, bound)
        return schema

    def _scope(self) -> str | None:
        return self.view.required_scope(self.method) if isinstance(self.view, ApiView) else None

    @property
    def _is_object(self) -> bool:
        return self.path.endswith("}")

    def _get_response_bodies(
        self, direction: Literal["request", "response"] = "response"
    ) -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        if direction != "response":
            return bodies
        for status in self._error_statuses():
            bodies.setdefault(
                status,
                {
                    "description": _ERRORS[status],
                    "content": {"application/problem+json": {"schema": PROBLEM}},
                },
            )
        return dict(sorted(bodies.items()))

    def _error_statuses(self) -> list[str]:
        statuses = ["400", "401", "429", "503"]
        if self._scope():
            statuses.append("403")
        if "{" in self.path:
            statuses.append("404")
        if self.method in _WRITES:
            statuses.append("409")
        if self.method in ("POST", "PUT", "PATCH"):
            statuses += ["413", "415"]
        if self.method == "POST":
            statuses.append("422")
        if self.method in ("PUT", "PATCH", "DELETE"):
            statuses.append("412")
        return statuses


def add_components(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Spectacular's hook: the components of `apps.common.schemas` beside those it found itself."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(COMPONENTS)
    result["components"]["schemas"] = dict(sorted(schemas.items()))
    return result
