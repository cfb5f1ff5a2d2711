"""Readers by name."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from apps.common.api.idempotency import idempotent
from apps.common.api.openapi import refusal
from apps.common.api.pagination import PageQuery, keyset_page
from apps.common.api.responses import Json, NoContent
from apps.common.api.serializers import parse_body, parse_query
from apps.common.api.views import ApiView
from apps.common.schemas import page
from apps.datafetch import selectors
from apps.datafetch.api.representations.records import CONSUMER, consumer_object
from apps.datafetch.api.serializers.reading import CommitInput, SeekInput, consumer_name
from apps.datafetch.enums import Edge
from apps.datafetch.errors import ConsumerMoved, StreamNotFound, TooManyConsumers
from apps.datafetch.models import Consumer
from apps.datafetch.services import consumers

_NO_STREAM = StreamNotFound("There is no such stream.")
_TOO_MANY = refusal("Too many", TooManyConsumers("A stream has at most 100: delete one."))
_MOVED = refusal("Moved by another", ConsumerMoved("The consumer is at 250, not at 200."))
_COMMIT = OpenApiExample("Read up to here", value={"offset": 1}, request_only=True)
_FROM_START = OpenApiExample("From the start", value={"to": "earliest"}, request_only=True)
_FROM_TIME = OpenApiExample(
    "From a time on", value={"time": "2026-11-21T09:30:00Z"}, request_only=True
)


@extend_schema(tags=["Streams"])
class ConsumersView(ApiView):
    """The readers of a stream."""

    scope = "streams"
    not_found = _NO_STREAM

    @extend_schema(
        operation_id="list_stream_consumers",
        summary="List consumers and how far behind each is",
        parameters=[PageQuery],
        responses={200: page(CONSUMER)},
    )
    def get(self, request: Request, stream_id: UUID) -> HttpResponse:
        query = parse_query(PageQuery, request)
        stream = selectors.stream(self.principal.account_id, stream_id)

        def shown(consumer: Consumer) -> dict[str, Any]:
            return consumer_object(consumers.standing(stream, consumer))

        return keyset_page(request, selectors.consumers(stream), shown, query)


@extend_schema(tags=["Streams"])
class ConsumerView(ApiView):
    """One reader."""

    scope = "streams"
    not_found = _NO_STREAM
    has_versions = False

    @extend_schema(
        operation_id="delete_stream_consumer",
        summary="Delete a consumer",
        description="One that reads under its name again begins with the first record.",
        responses={204: None},
    )
    def delete(self, request: Request, stream_id: UUID, consumer: str) -> HttpResponse:
        consumers.forget(
            account_id=self.principal.account_id, stream_id=stream_id, name=consumer_name(consumer)
        )
        return NoContent()


@extend_schema(tags=["Streams"])
class CommitView(ApiView):
    """Committing."""

    scope = "streams"
    not_found = _NO_STREAM

    @extend_schema(
        operation_id="commit_stream_consumer",
        summary="Commit what a consumer has read",
        description=(
            "The offset of the last record that it has worked off; a smaller one than before sets it back. "
            "With `expected`, only if it still is where you last saw it. Of a new name it makes a consumer."
        ),
        request=CommitInput,
        examples=[_COMMIT, _MOVED, _TOO_MANY],
        responses={200: CONSUMER},
    )
    @idempotent
    def post(self, request: Request, stream_id: UUID, consumer: str) -> HttpResponse:
        body = parse_body(CommitInput, request)
        moved = consumers.commit(
            account_id=self.principal.account_id,
            stream_id=stream_id,
            name=consumer_name(consumer),
            **body,
        )
        return Json(consumer_object(moved))


@extend_schema(tags=["Streams"])
class SeekView(ApiView):
    """Going elsewhere."""

    scope = "streams"
    not_found = _NO_STREAM

    @extend_schema(
        operation_id="seek_stream_consumer",
        summary="Set a consumer to the start, the end, an offset or a time",
        description="One of `to` (`earliest`, `latest`), `offset` and `time` (what was fetched then or later).",
        request=SeekInput,
        examples=[_FROM_START, _FROM_TIME, _TOO_MANY],
        responses={200: CONSUMER},
    )
    @idempotent
    def post(self, request: Request, stream_id: UUID, consumer: str) -> HttpResponse:
        body = parse_body(SeekInput, request)
        who: dict[str, Any] = {
            "account_id": self.principal.account_id,
            "stream_id": stream_id,
            "name": consumer_name(consumer),
        }
        if "offset" in body:
            moved = consumers.commit(**who, offset=body["offset"])
        else:
            moved = consumers.seek(**who, to=body.get("time") or Edge(body["to"]))
        return Json(consumer_object(moved))
