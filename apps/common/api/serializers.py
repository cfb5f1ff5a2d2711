"""Input: bodies and query strings, with unknown names refused rather than overlooked."""

from collections.abc import Mapping
from functools import cache
from itertools import islice
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request

# Nobody mends more at once, and an answer stays small whatever was sent.
MAX_FAULTS = 50

_ABSENT = object()


class Body(serializers.Serializer[Any]):
    """A request body.

    Unknown members are errors. Members of the object's present representation that cannot be written
    (`id`, `created_at`…) may be sent back: ignored when unchanged, refused when changed. Pass that
    representation as `current` to `parse_body`; nested lists are compared by `id`.
    """

    _current: Mapping[str, Any] = {}

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return super().to_internal_value(data)
        current = self._current = self._current_of(data)
        strangers = {name: value for name, value in data.items() if name not in self.fields}
        refused = (name for name, value in strangers.items() if current.get(name, _ABSENT) != value)
        faults: dict[str, Any] = {
            name: [_refusal(name, current)] for name in islice(refused, MAX_FAULTS)
        }
        known = {name: value for name, value in data.items() if name in self.fields}
        try:
            cleaned = super().to_internal_value(known)
        except ValidationError as error:
            raise ValidationError({**error.detail, **faults}) from None  # type: ignore[dict-item]
        if faults:
            raise ValidationError(faults)
        return cleaned

    def _current_of(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        parent = self.parent
        if parent is None:
            return self.context.get("current") or {}
        if isinstance(parent, Body):
            return parent._current.get(str(self.field_name)) or {}
        above = parent.parent  # the list's own parent
        siblings = above._current.get(str(parent.field_name)) if isinstance(above, Body) else None
        matches = (one for one in siblings or () if one.get("id") == data.get("id"))
        return next(matches, {})


class NoBody(Body):
    """A call without input: nothing, or an empty object."""


class Query(serializers.Serializer[Any]):
    """The query string of a GET; faults name the `parameter`."""


def parse_body(
    serializer: type[Body],
    request: Request,
    *,
    current: Mapping[str, Any] | None = None,
    partial: bool = False,
) -> dict[str, Any]:
    """The validated body; raises ValidationError (400) with a pointer to each wrong place.

    `partial`, for PATCH: what is not sent is left out, without its default.
    """
    if current is None and not partial:
        return _validated(serializer, request.data)
    parsed = serializer(data=request.data, context={"current": current})
    if partial:
        _require_nothing(parsed)
    parsed.is_valid(raise_exception=True)
    values: dict[str, Any] = parsed.validated_data
    return values


def _validated(serializer: type[Body], data: Any) -> dict[str, Any]:
    values: dict[str, Any] = shared(serializer).run_validation(data)
    return values


@cache
def shared(serializer: type[Body]) -> Body:
    """One of each, for all threads: to copy its fields takes longer than to validate by them, and
    nothing of a body stays in them."""
    return serializer()


def parse_query(serializer: type[Query], request: Request) -> dict[str, Any]:
    """The validated query string; an unknown parameter is an error, so that no typo hides."""
    parsed = serializer(data=request.query_params.dict())
    faults: dict[str, Any] = {
        name: [ErrorDetail("There is no such parameter.", code="unknown_parameter")]
        for name in request.query_params
        if name not in parsed.fields
    }
    if not parsed.is_valid():
        faults |= parsed.errors
    if faults:
        raise QueryInvalid(faults)
    values: dict[str, Any] = parsed.validated_data
    return values


def _require_nothing(parsed: Body) -> None:
    """Like DRF's `partial`, which would also let elements of a list be incomplete."""
    for field in parsed.fields.values():
        field.required, field.default = False, serializers.empty


class QueryInvalid(ValidationError):
    """Like ValidationError, of the query string: its faults carry `parameter`, not `pointer`."""


def _refusal(name: str, current: Mapping[str, Any]) -> ErrorDetail:
    if name in current:
        return ErrorDetail(
            "This cannot be changed; leave it out or send it as it is.", code="read_only"
        )
    return ErrorDetail("There is no such field.", code="unknown_field")
