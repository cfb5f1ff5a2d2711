"""Keyset pages over UUIDv7 ids: newest first, and the cost of a page does not grow with the table."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from apps.common.api.fields import QueryInteger
from apps.common.api.responses import Json
from apps.common.api.serializers import Query
from apps.common.keyset import newer, older

M = TypeVar("M", bound=Model)

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list: before (`backwards`) or after the row `id`, in the order of the list."""

    id: UUID
    backwards: bool

    def encode(self) -> str:
        mark = b"p" if self.backwards else b"n"
        return base64.urlsafe_b64encode(mark + self.id.bytes).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Raises ValueError for anything that `encode` did not make."""
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        if len(raw) != 17 or raw[:1] not in (b"n", b"p"):
            raise ValueError(text)
        return cls(id=UUID(bytes=raw[1:]), backwards=raw[:1] == b"p")


class CursorField(serializers.CharField):
    """A cursor taken from `next` or `previous`."""

    default_error_messages = {"invalid_cursor": "Take the cursor from `next` or `previous`."}

    def to_internal_value(self, data: Any) -> Any:
        try:
            return Cursor.decode(super().to_internal_value(data))
        except (ValueError, binascii.Error):
            self.fail("invalid_cursor")


class PageQuery(Query):
    """The parameters of every list; lists add their filters in a subclass."""

    limit = QueryInteger(
        min_value=1, max_value=MAX_LIMIT, default=DEFAULT_LIMIT, help_text="Rows on a page."
    )
    cursor = CursorField(required=False, help_text="From `next` or `previous` of another page.")


def keyset_page(
    request: Request,
    rows: "QuerySet[M] | Sequence[QuerySet[M]]",
    render: Callable[[M], dict[str, Any]],
    query: dict[str, Any],
) -> Json:
    """One page of `rows` as `{"results", "next", "previous"}`; `query` is a parsed PageQuery.

    Several querysets, which have no row in common, are one list: where no index has what all of them ask
    for in order, but one has what each asks for. How each is read: apps.common.keyset.
    """
    parts = [rows] if isinstance(rows, QuerySet) else rows
    limit: int = query["limit"]
    cursor: Cursor | None = query.get("cursor")
    if cursor is not None and cursor.backwards:
        found = _first([newer(each, cursor.id) for each in parts], "pk", limit + 1)
        more_before, more_after = len(found) > limit, True
        found = found[:limit][::-1]
    else:
        after = None if cursor is None else cursor.id
        found = _first([older(each, after) for each in parts], "-pk", limit + 1)
        more_before, more_after = cursor is not None, len(found) > limit
        found = found[:limit]
    return Json(
        {
            "results": [render(row) for row in found],
            "next": _link(request, found[-1].pk, False) if found and more_after else None,
            "previous": _link(request, found[0].pk, True) if found and more_before else None,
        }
    )


def _first(parts: "Sequence[QuerySet[M]]", order: str, count: int) -> list[M]:
    cut = [each[:count] for each in parts]
    if len(cut) == 1:
        return list(cut[0])
    return list(cut[0].union(*cut[1:], all=True).order_by(order)[:count])


def _link(request: Request, pk: UUID, backwards: bool) -> str:
    url = request.build_absolute_uri()
    return replace_query_param(url, "cursor", Cursor(pk, backwards).encode())
