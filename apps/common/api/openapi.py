"""The OpenAPI schema: what every call has in common is said here once, not in each view."""

from typing import Any, Literal

import orjson
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import HttpRequest
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_examples_list
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework import exceptions as drf
from rest_framework.request import Request
from rest_framework.serializers import ListSerializer

from apps.common import errors as domain
from apps.common.api.problems import PROBLEM, exception_handler
from apps.common.api.serializers import QueryInvalid
from apps.common.api.throttling import RateLimited, RateLimitState
from apps.common.api.views import ApiView
from apps.common.idempotency import in_flight
from apps.common.schemas import COMPONENTS

_PROBLEM_TYPE = "application/problem+json"

_ERRORS = {
    "400": "The request is not valid; `errors` says where.",
    "401": "The key is missing, unknown, expired or revoked.",
    "403": "The key lacks the scope of this call.",
    "404": "There is no such object, or this key may not see it.",
    "406": "The answer cannot be given in what `Accept` asks for.",
    "409": "The present state does not allow this; `code` says why.",
    "412": "The object has changed since you read it (`If-Match`).",
    "413": "The body is larger than 1 MiB.",
    "415": "The body is not `application/json`.",
    "422": "This `Idempotency-Key` was used for another request.",
    "429": "Too many calls; `Retry-After` says when to go on.",
    "503": "Busy or unavailable for a moment; `Retry-After` says when to try again.",
}


def refusal(name: str, error: Exception) -> OpenApiExample:
    """An example of the answer to `error`, made by what makes the real ones.

    A view that can be refused in a way of its own gives it to `extend_schema(examples=[…])`.
    """
    answer = exception_handler(error, {"request": Request(HttpRequest())})
    if answer is None:
        raise TypeError(f"{error!r} is not answered with a problem.")
    return OpenApiExample(
        name,
        value={
            **orjson.loads(answer.content),
            "request_id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a11",
        },
        media_type=_PROBLEM_TYPE,
        response_only=True,
        status_codes=[str(answer.status_code)],
    )


_BAD_BODY = refusal(
    "A wrong body",
    drf.ValidationError(
        {"colour": [drf.ErrorDetail("There is no such field.", code="unknown_field")]}
    ),
)
_BAD_QUERY = refusal(
    "A wrong parameter",
    QueryInvalid(
        {"colour": [drf.ErrorDetail("There is no such parameter.", code="unknown_parameter")]}
    ),
)
_BAD_REQUEST = refusal("A malformed request", SuspiciousOperation())
_TOO_LARGE = refusal("Too large", RequestDataTooBig())
_TOO_LARGE.value["title"] = "Content Too Large"  # Python before 3.13 has another phrase
_IN_FLIGHT = refusal("Still at work", in_flight())

# Of these, each call says the same.
_REFUSALS = {
    "401": [
        refusal(
            "No key",
            drf.NotAuthenticated("Send your API key as `X-API-Key` or `Authorization: Bearer`."),
        ),
        refusal(
            "A wrong key",
            drf.AuthenticationFailed("The API key is unknown, expired or revoked."),
        ),
    ],
    "406": [refusal("No such format", drf.NotAcceptable())],
    "412": [
        refusal(
            "Changed meanwhile",
            domain.Stale("Read it again, apply your change to what you find, and send that."),
        )
    ],
    "413": [_TOO_LARGE],
    "415": [refusal("Not JSON", drf.UnsupportedMediaType("text/plain"))],
    "422": [
        refusal(
            "A used key",
            domain.Unprocessable(
                "This Idempotency-Key was used for another request. Take a new key for a new "
                "request.",
                code="idempotency_key_reused",
            ),
        )
    ],
    "429": [
        refusal(
            "Too many calls",
            RateLimited(RateLimitState(limit=600, allowed=False, remaining=0, reset_seconds=12)),
        )
    ],
    "503": [
        refusal(
            "Busy",
            domain.Unavailable(
                "Others are changing the same object. Send the request again.", code="busy"
            ),
        )
    ],
}


def _component(status: str) -> str:
    return f"Error{status}"


def _response(status: str, examples: list[OpenApiExample]) -> dict[str, Any]:
    content = {"schema": PROBLEM, "examples": build_examples_list(examples)}
    return {"description": _ERRORS[status], "content": {_PROBLEM_TYPE: content}}


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
        elif self._compares_versions:
            parameters.append(_IF_MATCH)
        elif self._may_be_unchanged:
            parameters.append(_IF_NONE_MATCH)
        return parameters

    def _get_format_parameters(self) -> list[Any]:
        """None: spectacular offers `?format=`, but here `Accept` alone decides."""
        return []

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        scope = self._scope()
        if operation and scope:
            # Not in get_description, which each description of `extend_schema` replaces.
            described = f"{operation.get('description', '')}\n\nScope: `{scope}`."
            operation["description"] = described.strip()
        return operation

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

    def _not_found(self) -> domain.NotFound | None:
        return self.view.not_found if isinstance(self.view, ApiView) else None

    @property
    def _may_be_unchanged(self) -> bool:
        is_object = self.path.endswith("}") or getattr(self.view, "is_object", False)
        return self.method == "GET" and is_object

    def _get_response_bodies(
        self, direction: Literal["request", "response"] = "response"
    ) -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        if direction != "response":
            return bodies
        if self._may_be_unchanged:
            bodies["304"] = {"description": "What you have (`If-None-Match`) is still current."}
        for status in self._error_statuses():
            if status in _REFUSALS:
                bodies[status] = {"$ref": f"#/components/responses/{_component(status)}"}
            else:
                bodies[status] = _response(
                    status, self._own_refusals(status) + self._refusals(status)
                )
        return dict(sorted(bodies.items()))

    def _own_refusals(self, status: str) -> list[OpenApiExample]:
        return [one for one in self.get_examples() if status in (one.status_codes or ())]

    def _refusals(self, status: str) -> list[OpenApiExample]:
        """What calls of this kind have in common."""
        if status == "400":
            return [self._bad_input()]
        if status == "403":
            missing = domain.Forbidden(
                f"The key lacks the scope {self._scope()}.", code="missing_scope"
            )
            return [refusal("A missing scope", missing)]
        if status == "404":
            return [refusal("Not there", not_found)] if (not_found := self._not_found()) else []
        return [_IN_FLIGHT] if self.method == "POST" else []

    def _bad_input(self) -> OpenApiExample:
        if self.method in ("POST", "PUT", "PATCH"):
            return _BAD_BODY
        reads_query = any(each["in"] == "query" for each in self._get_parameters())
        return _BAD_QUERY if reads_query else _BAD_REQUEST

    @property
    def _compares_versions(self) -> bool:
        return self.method in ("PUT", "PATCH", "DELETE") and getattr(
            self.view, "has_versions", False
        )

    def _error_statuses(self) -> list[str]:
        statuses = ["400", "401", "406", "429", "503"]
        if self._scope():
            statuses.append("403")
        if self._not_found() or self._own_refusals("404"):
            statuses.append("404")
        if self.method == "POST" or self._own_refusals("409"):
            statuses.append("409")
        if self.method in ("POST", "PUT", "PATCH"):
            statuses += ["413", "415"]
        if self.method == "POST":
            statuses.append("422")
        if self._compares_versions:
            statuses.append("412")
        return statuses


def add_components(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Spectacular's hook: the components of `apps.common.schemas` beside those it found itself, and the
    answers that all calls share."""
    components = result.setdefault("components", {})
    schemas = components.get("schemas", {}) | COMPONENTS
    components["schemas"] = dict(sorted(schemas.items()))
    components["responses"] = {
        _component(status): _response(status, examples) for status, examples in _REFUSALS.items()
    }
    return result
