"""What a stream has fetched, as pages and as files."""

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any
from uuid import UUID

import orjson
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.utils.urls import remove_query_param, replace_query_param

from apps.common.api.pagination import DEFAULT_LIMIT, MAX_LIMIT, PageQuery, keyset_page
from apps.common.api.responses import Json
from apps.common.api.serializers import parse_query
from apps.common.api.streaming import Csv, Ndjson, streams
from apps.common.api.views import ApiView
from apps.common.errors import Forbidden
from apps.common.schemas import page
from apps.datafetch import selectors
from apps.datafetch.api.exports import comma_separated, ndjson
from apps.datafetch.api.representations.records import (
    RECORD,
    REJECTED,
    SCHEMA,
    record_object,
    rejected_object,
    schema_object,
)
from apps.datafetch.api.serializers.reading import RecordsQuery
from apps.datafetch.errors import RecordsInvalid, StreamNotFound
from apps.datafetch.models import Stream
from apps.datafetch.selectors import Lines, Version
from apps.datafetch.services import consumers
from apps.datafetch.sources import forms
from apps.datafetch.sources.forms import Form

_NO_STREAM = StreamNotFound("There is no such stream.")


class Parquet(BaseRenderer):
    """Lets `Accept` choose it."""

    media_type = "application/vnd.apache.parquet"
    format = "parquet"


def _as_parquet(chunks: Iterable[list[Version]], form: Form) -> Iterator[bytes]:
    lines: Iterator[bytes] = import_module("apps.datafetch.api.parquet").as_parquet(chunks, form)
    return lines


# How records are read for each kind of file, and what is made of them.
_FILES: dict[str, tuple[Callable[..., Iterator[Any]], Callable[[Any, Form], Iterator[bytes]]]] = {
    Ndjson.media_type: (selectors.lines_in_chunks, ndjson),
    Csv.media_type: (selectors.records_in_chunks, comma_separated),
    Parquet.media_type: (selectors.records_in_chunks, _as_parquet),
}


@extend_schema(tags=["Streams"])
class RecordsView(ApiView):
    """What a stream has fetched."""

    scope = "streams"
    not_found = _NO_STREAM
    renderer_classes = (JSONRenderer, Ndjson, Csv, Parquet)

    @extend_schema(
        operation_id="list_stream_records",
        summary="Read records from an offset on",
        description=(
            "Versions of records in the order in which they were stored. Whoever remembers the last offset "
            "that it has read misses nothing; or names itself as `consumer`, and commits what it has "
            "worked off: then its place is kept here. `Accept` chooses between pages of JSON and files "
            "of all that there is: `application/x-ndjson` (one record a line), `text/csv` (columns as in the "
            "newest of `/schemas`; text that a spreadsheet would take for a formula gets an apostrophe) and "
            "`application/vnd.apache.parquet`. `commit=auto` (scope `streams:write`) moves the consumer: with "
            "a page of JSON when it is answered, so that several clients share the records between them; "
            "with a file when its last byte has been passed on."
        ),
        parameters=[RecordsQuery],
        responses={
            (200, "application/json"): page(RECORD),
            (200, Ndjson.media_type): OpenApiTypes.STR,
            (200, Csv.media_type): OpenApiTypes.STR,
            (200, Parquet.media_type): OpenApiTypes.BINARY,
        },
    )
    def get(self, request: Request, stream_id: UUID) -> HttpResponseBase:
        query = parse_query(RecordsQuery, request)
        moves = "commit" in query and request.method != "HEAD"
        if "commit" in query and not self.principal.may("streams:write"):
            raise Forbidden("The key lacks the scope streams:write.", code="missing_scope")
        stream = selectors.stream(self.principal.account_id, stream_id)
        if isinstance(request.accepted_renderer, JSONRenderer):
            return _page(request, stream, query, moves)
        return _file(request, stream, query, moves)


def _page(request: Request, stream: Stream, query: dict[str, Any], moves: bool) -> Json:
    limit = query.get("limit", DEFAULT_LIMIT)
    if limit > MAX_LIMIT:
        detail = f"A page of JSON has at most {MAX_LIMIT}; files have as many as you like."
        raise RecordsInvalid.at("/limit", "max_value", detail)
    url = request.build_absolute_uri()
    if moves:
        found, end = consumers.take(stream, query["consumer"], most=limit)
        following = url
    else:
        after = _start(stream, query)
        found = selectors.next_records(
            selectors.records(stream, as_of=query.get("as_of")), after=after, most=limit
        )
        end = found[-1].offset if found else after
        following = remove_query_param(remove_query_param(url, "consumer"), "commit")
        following = replace_query_param(following, "after", end)
    rest = selectors.records(stream, as_of=query.get("as_of")).filter(offset__gt=end)
    return Json(
        {
            "results": [record_object(one, orjson.Fragment(one.data)) for one in found],
            "next": following if found and rest.exists() else None,
            "previous": None,
        }
    )


def _file(request: Request, stream: Stream, query: dict[str, Any], moves: bool) -> HttpResponseBase:
    chosen = request.accepted_renderer
    headers = {
        "Content-Type": str(chosen.media_type),
        "Content-Disposition": f'attachment; filename="records.{chosen.format}"',
    }
    if not isinstance(chosen, Parquet):
        headers["Content-Type"] += "; charset=utf-8"
    if request.method == "HEAD":
        return HttpResponse(headers=headers)
    streams.require_room(stream.account_id)
    start = _start(stream, query)
    # What is stored from now on is for the next file: this one has an end, and its columns hold.
    rows = selectors.records(stream, as_of=query.get("as_of"))
    rows = rows.filter(offset__lte=stream.progress.last_offset)
    in_chunks, made_of = _FILES[str(chosen.media_type)]
    chunks = _Counted(in_chunks(rows, after=start, most=query.get("limit")))
    version = selectors.newest_schema(stream)
    form = forms.of_schema(version.schema) if version else {}
    lines = made_of(chunks, form)
    if moves:
        lines = _moving(lines, stream, query["consumer"], start, chunks)
    return StreamingHttpResponse(streams.send(stream.account_id, lines), headers=headers)


def _start(stream: Stream, query: dict[str, Any]) -> int:
    if "consumer" in query:
        return consumers.registered(stream, query["consumer"]).offset
    after: int = query.get("after", 0)
    return after


class _Counted:
    """Chunks of records, and the last offset that was among them."""

    def __init__(self, chunks: Iterator[list[Version] | Lines]) -> None:
        self._chunks = chunks
        self.end: int | None = None

    def __iter__(self) -> Iterator[list[Version] | Lines]:
        for chunk in self._chunks:
            self.end = chunk.end if isinstance(chunk, Lines) else chunk[-1].offset
            yield chunk


def _moving(
    lines: Iterator[bytes], stream: Stream, name: str, start: int, chunks: _Counted
) -> Iterator[bytes]:
    yield from lines
    if chunks.end is not None:
        consumers.move_if_still_at(stream, name, start=start, end=chunks.end)


@extend_schema(tags=["Streams"])
class SchemasView(ApiView):
    """The versions of a stream's schema."""

    scope = "streams"
    not_found = _NO_STREAM

    @extend_schema(
        operation_id="list_stream_schemas",
        summary="List what records have looked like",
        description="Newest first: each field with the JSON types that its values have had; null counts as none.",
        parameters=[PageQuery],
        responses={200: page(SCHEMA)},
    )
    def get(self, request: Request, stream_id: UUID) -> HttpResponse:
        query = parse_query(PageQuery, request)
        stream = selectors.stream(self.principal.account_id, stream_id)
        return keyset_page(request, selectors.schemas(stream), schema_object, query)


@extend_schema(tags=["Streams"])
class RejectedView(ApiView):
    """Records that could not be taken in."""

    scope = "streams"
    not_found = _NO_STREAM

    @extend_schema(
        operation_id="list_stream_rejected_records",
        summary="List records that were rejected",
        description="Newest first, up to 100 of each page, kept for 30 days.",
        parameters=[PageQuery],
        responses={200: page(REJECTED)},
    )
    def get(self, request: Request, stream_id: UUID) -> HttpResponse:
        query = parse_query(PageQuery, request)
        stream = selectors.stream(self.principal.account_id, stream_id)
        return keyset_page(request, selectors.rejected(stream), rejected_object, query)
