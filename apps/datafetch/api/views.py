"""Streams, their runs, and their records."""

import functools
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from apps.common.api.conditional import etag, if_match, not_modified
from apps.common.api.idempotency import answered_first, idempotent
from apps.common.api.openapi import refusal
from apps.common.api.pagination import PageQuery, keyset_page
from apps.common.api.responses import Json, NoContent
from apps.common.api.serializers import NoBody, parse_body, parse_query
from apps.common.api.views import ApiView
from apps.common.outgoing import guard
from apps.common.schemas import page
from apps.datafetch import selectors
from apps.datafetch.api.serializers.streams import RunInput, StreamInput
from apps.datafetch.errors import (
    AlreadyRunning,
    NotRunning,
    RunNotFound,
    StreamInvalid,
    StreamNotFound,
    TooManyStreams,
)
from apps.datafetch.events import (
    RUN,
    STREAM,
    STREAMS,
    records_per_second,
    run_object,
    stream_object,
)
from apps.datafetch.models import Run, Stream
from apps.datafetch.services import commands, streams

_NO_STREAM = StreamNotFound("There is no such stream.")
_RUNNING = refusal("Started already", AlreadyRunning("The stream is running already."))
_STOPPED = refusal("Stopped already", NotRunning("The stream is not running."))
_TOO_MANY = refusal("Too many", TooManyStreams("An account has at most 1000 streams."))

_SIMPLE = OpenApiExample(
    "A public list of records",
    value={
        "name": "Repositories",
        "url": "https://api.github.com/orgs/django/repos",
        "interval_seconds": 3600,
        "primary_key": "id",
        "pagination": {"type": "link_header"},
        "mapping": {"id": "id", "name": "full_name", "stars": "stargazers_count"},
    },
    request_only=True,
)
_INCREMENTAL = OpenApiExample(
    "What has changed since the last run",
    value={
        "name": "Shop orders",
        "url": "https://example.com/api/orders",
        "cron": "*/15 6-22 * * *",
        "records_path": "data.items",
        "primary_key": "id",
        "cursor": {"field": "updated_at", "param": "updated_since", "lookback_seconds": 60},
        "pagination": {"type": "cursor", "param": "after", "path": "data.next"},
        "auth": {"type": "bearer", "token": "the API's token"},
        "rate_limit": 5,
    },
    request_only=True,
)
_LESS_OFTEN = OpenApiExample("Less often", value={"interval_seconds": 3600}, request_only=True)
_PLAIN_RUN = OpenApiExample("As usual", value={}, request_only=True)
_FULL_RUN = OpenApiExample(
    "All of it, deletions included",
    value={"full_refresh": True, "allow_deletes": True},
    request_only=True,
)
_NOTHING = OpenApiExample("Nothing", value={}, request_only=True)

HOW_IT_IS_READ = """
A stream is made stopped; `POST …/start` starts it. Each run reads the remote API from the first page to
the last. Of every record a version is kept when it is new, has changed, or (without a `cursor`) is not
there any more. A page, its records and the place to go on from are stored together, so that whatever
dies, nothing is lost and nothing doubled. `records_path`, `primary_key`, `cursor.field`, `pagination.path`
and each member of `mapping` are [JMESPath](https://jmespath.org).

`pagination` is one of `{"type": "none"}`, `next_link {path}`, `link_header`,
`page_number {param, start, size_param?, size?}`, `offset {param, limit_param, limit}`,
`cursor {param, path}`; `auth` one of `{"type": "none"}`, `bearer {token}`,
`api_key {name, value, in: header|query}`, `basic {username, password}`,
`oauth2_client_credentials {token_url, client_id, client_secret, scope?}`. Headers and parameters whose
names look secret (`…key`, `…token`, `…secret`) are kept like the secrets of `auth`: encrypted, and shown as
null. Credentials are sent to the origin of `url` alone.
""".strip()

Handler = Callable[..., HttpResponse]


def vetting_urls(handler: Handler) -> Handler:
    """Decorates `post`, above `@idempotent`: looks at the URLs' addresses before any transaction is open,
    for that asks DNS and may take seconds."""

    @functools.wraps(handler)
    def post(view: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        vet(parse_body(StreamInput, request))
        return handler(view, request, *args, **kwargs)

    return post


def vet(body: Mapping[str, Any]) -> None:
    """Raise StreamInvalid when a URL in the body leads to a refused address just now."""
    token_url = (body.get("auth") or {}).get("token_url")
    for pointer, url in (("/url", body.get("url")), ("/auth/token_url", token_url)):
        try:
            if url is not None:
                guard.vet(guard.parse(url))
        except guard.AddressRefused as error:
            detail = "The URL leads to an address that is not allowed: it must be a public one."
            raise StreamInvalid.at(pointer, "address_not_allowed", detail) from error


@extend_schema(tags=["Streams"])
class StreamsView(ApiView):
    """The streams of the caller's account."""

    scope = "streams"

    @extend_schema(
        operation_id="list_streams",
        summary="List streams",
        parameters=[PageQuery],
        responses={200: page(STREAM)},
    )
    def get(self, request: Request) -> HttpResponse:
        query = parse_query(PageQuery, request)
        rows = selectors.streams(self.principal.account_id)
        return keyset_page(request, rows, stream_object, query)

    @extend_schema(
        operation_id="create_stream",
        summary="Make a stream",
        description=HOW_IT_IS_READ,
        request=StreamInput,
        examples=[_SIMPLE, _INCREMENTAL, _TOO_MANY],
        responses={201: STREAM},
    )
    @answered_first
    @vetting_urls
    @idempotent
    def post(self, request: Request) -> HttpResponse:
        body = parse_body(StreamInput, request)
        made = streams.create_stream(account_id=self.principal.account_id, **body)
        return _stream(made, status=201)


@extend_schema(tags=["Streams"])
class StreamView(ApiView):
    """One stream."""

    scope = "streams"
    not_found = _NO_STREAM

    @extend_schema(
        operation_id="get_stream", summary="Get a stream and its state", responses={200: STREAM}
    )
    def get(self, request: Request, stream_id: UUID) -> HttpResponse:
        stream = selectors.stream(self.principal.account_id, stream_id)
        return not_modified(request, _etag(stream)) or _stream(stream)

    @extend_schema(
        operation_id="update_stream",
        summary="Change a stream",
        description=(
            "A run in progress begins anew with what has changed. Secrets that are left out, or null, are "
            "kept; when `url` leads to another server, or `token_url` changes, they must be sent again."
        ),
        request=StreamInput,
        examples=[_LESS_OFTEN],
        responses={200: STREAM},
    )
    def patch(self, request: Request, stream_id: UUID) -> HttpResponse:
        current = selectors.stream(self.principal.account_id, stream_id)
        changes = parse_body(StreamInput, request, current=stream_object(current), partial=True)
        vet(changes)
        changed = streams.update_stream(
            account_id=current.account_id,
            stream_id=stream_id,
            changes=changes,
            expected=if_match(request),
        )
        return _stream(changed)

    @extend_schema(
        operation_id="delete_stream",
        summary="Delete a stream",
        description="Its run in progress ends; its secrets go at once, its records soon after.",
        responses={204: None},
    )
    def delete(self, request: Request, stream_id: UUID) -> HttpResponse:
        streams.delete_stream(
            account_id=self.principal.account_id, stream_id=stream_id, expected=if_match(request)
        )
        return NoContent()


@extend_schema(tags=["Streams"])
class StartView(ApiView):
    """Starting."""

    scope = "streams"
    not_found = _NO_STREAM

    @extend_schema(
        operation_id="start_stream",
        summary="Start a stream",
        description="It runs at once and then by its schedule, from the second run on with some jitter.",
        request=NoBody,
        examples=[_NOTHING, _RUNNING],
        responses={200: STREAM},
    )
    @idempotent
    def post(self, request: Request, stream_id: UUID) -> HttpResponse:
        parse_body(NoBody, request)
        return _stream(
            commands.start_stream(
                account_id=self.principal.account_id, stream_id=stream_id, actor=self.actor
            )
        )


@extend_schema(tags=["Streams"])
class StopView(ApiView):
    """Stopping."""

    scope = "streams"
    not_found = _NO_STREAM

    @extend_schema(
        operation_id="stop_stream",
        summary="Stop a stream",
        description="A run in progress ends at its next page; what it has read is kept.",
        request=NoBody,
        examples=[_NOTHING, _STOPPED],
        responses={200: STREAM},
    )
    @idempotent
    def post(self, request: Request, stream_id: UUID) -> HttpResponse:
        parse_body(NoBody, request)
        return _stream(
            commands.stop_stream(
                account_id=self.principal.account_id, stream_id=stream_id, actor=self.actor
            )
        )


@extend_schema(tags=["Streams"])
class RunNowView(ApiView):
    """Running once."""

    scope = "streams"
    not_found = _NO_STREAM

    @extend_schema(
        operation_id="run_stream",
        summary="Run a stream now",
        description="Once, whether it is started or not. Joins the run in progress, if there is one.",
        request=RunInput,
        examples=[_PLAIN_RUN, _FULL_RUN],
        responses={202: RUN},
    )
    @idempotent
    def post(self, request: Request, stream_id: UUID) -> HttpResponse:
        body = parse_body(RunInput, request)
        run = commands.run_stream(
            account_id=self.principal.account_id, stream_id=stream_id, actor=self.actor, **body
        )
        return Json(run_object(run), status=202)


@extend_schema(tags=["Streams"])
class StartAllView(ApiView):
    """Starting all."""

    scope = "streams"

    @extend_schema(
        operation_id="start_all_streams",
        summary="Start all streams",
        description="Answers with those that were stopped.",
        request=NoBody,
        examples=[_NOTHING],
        responses={200: STREAMS},
    )
    @idempotent
    def post(self, request: Request) -> HttpResponse:
        parse_body(NoBody, request)
        started = commands.start_all(account_id=self.principal.account_id, actor=self.actor)
        return Json({"results": [stream_object(one) for one in started]})


@extend_schema(tags=["Streams"])
class StopAllView(ApiView):
    """Stopping all."""

    scope = "streams"

    @extend_schema(
        operation_id="stop_all_streams",
        summary="Stop all streams",
        description="Answers with those that were started.",
        request=NoBody,
        examples=[_NOTHING],
        responses={200: STREAMS},
    )
    @idempotent
    def post(self, request: Request) -> HttpResponse:
        parse_body(NoBody, request)
        stopped = commands.stop_all(account_id=self.principal.account_id, actor=self.actor)
        return Json({"results": [stream_object(one) for one in stopped]})


@extend_schema(tags=["Streams"])
class RunsView(ApiView):
    """The runs of a stream."""

    scope = "streams"
    not_found = _NO_STREAM

    @extend_schema(
        operation_id="list_stream_runs",
        summary="List a stream's runs",
        description="Newest first, kept for 30 days.",
        parameters=[PageQuery],
        responses={200: page(RUN)},
    )
    def get(self, request: Request, stream_id: UUID) -> HttpResponse:
        query = parse_query(PageQuery, request)
        stream = selectors.stream(self.principal.account_id, stream_id)
        return keyset_page(request, selectors.runs(stream), run_object, query)


@extend_schema(tags=["Streams"])
class RunView(ApiView):
    """One run."""

    scope = "streams"
    not_found = RunNotFound("There is no such run.")

    @extend_schema(
        operation_id="get_stream_run",
        summary="Get a run and how far it has come",
        responses={200: RUN},
    )
    def get(self, request: Request, stream_id: UUID, run_id: UUID) -> HttpResponse:
        run = selectors.run(self.principal.account_id, stream_id, run_id)
        tag = etag(*_seen(run))
        return not_modified(request, tag) or Json(run_object(run), headers={"ETag": tag})


def _etag(stream: Stream) -> str:
    """Also of how it fares, which changes without its owner's writing."""
    progress, run = stream.progress, stream.progress.last_run
    seen = _seen(run) if run else ()
    planned = progress.next_run_at.timestamp() if progress.next_run_at else None
    return etag(stream.version, stream.state, progress.last_offset, planned, *seen)


def _seen(run: Run) -> tuple[Any, ...]:
    """What changes of a run; its rate does so with time alone."""
    figures = (run.requests, run.pages, run.status, bool(run.error), run.checkpoint.get("pages"))
    return (run.id, *figures, records_per_second(run))


def _stream(stream: Stream, *, status: int = 200) -> Json:
    return Json(stream_object(stream), status=status, headers={"ETag": _etag(stream)})
