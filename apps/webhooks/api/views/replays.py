"""Replays of an endpoint's events."""

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from apps.common.api.conditional import etag, not_modified
from apps.common.api.idempotency import idempotent
from apps.common.api.openapi import refusal
from apps.common.api.pagination import PageQuery, keyset_page
from apps.common.api.responses import Json
from apps.common.api.serializers import NoBody, parse_body, parse_query
from apps.common.api.views import ApiView
from apps.common.schemas import page
from apps.webhooks import replays, selectors
from apps.webhooks.api.representations import (
    REPLAY,
    REPLAY_WITH_DELIVERIES,
    replay_object,
    replay_with_deliveries,
)
from apps.webhooks.api.serializers import ReplayInput
from apps.webhooks.api.views.endpoints import DISABLED, NO_ENDPOINT
from apps.webhooks.errors import ReplayEnded, ReplayInProgress, ReplayNotFound, SpanIsEmpty

WHAT_IT_DOES = f"""
Sends the endpoint again what happened from `since` to `until` (default: now): its failed deliveries, or all
events that your account may see now and that the endpoint listens to now, with those that it has never got.
`event_types` narrows that down. Events are kept for 30 days; an earlier `since` is moved up to what is
there, and the answer says so.

The answer comes at once; the job goes on in the background, through restarts and crashes. `total` is how
many events it concerns, counted before the first is sent (null while that takes longer), `processed` how
many it has come past, `skipped` those of them that were on their way already. It sends at most `rate` a
second ({replays.DEFAULT_RATE} unless you say otherwise, {replays.MAX_RATE:,} at most), in a lane of its
own, so that new events do not wait for it, and never gets more than two seconds ahead of what your endpoint
has answered. `completed` means that each was tried at least once; what failed is retried on the usual
schedule.

A request that is sent again has the `webhook-id` and body of the first, and the header `webhook-replay`
with the id of the replay. One replay of an endpoint runs at a time. While the endpoint is disabled, it
waits.
""".strip()

_SINCE = OpenApiExample(
    "What failed since a day",
    value={"since": "2026-11-20T00:00:00Z", "only": "failed"},
    request_only=True,
)
_RUNNING = refusal(
    "One is running",
    ReplayInProgress(
        "A replay to this endpoint is running or paused. Wait for its end, or cancel it."
    ),
)
_EMPTY = refusal("An empty span", SpanIsEmpty.at_since())
_ENDED = refusal("An ended replay", ReplayEnded("The replay is completed. Start a new one."))
_NO_REPLAY = ReplayNotFound("There is no such replay.")


@extend_schema(tags=["Webhooks"])
class ReplaysView(ApiView):
    """The replays to an endpoint."""

    scope = "webhooks"
    not_found = NO_ENDPOINT

    @extend_schema(
        operation_id="list_replays",
        summary="List an endpoint's replays",
        description="Newest first; ended ones are kept for 30 days.",
        parameters=[PageQuery],
        responses={200: page(REPLAY)},
    )
    def get(self, request: Request, endpoint_id: UUID) -> HttpResponse:
        query = parse_query(PageQuery, request)
        rows = selectors.replays(self.principal.account_id, endpoint_id)
        return keyset_page(request, rows, replay_object, query)

    @extend_schema(
        operation_id="start_replay",
        summary="Replay events to an endpoint",
        description=WHAT_IT_DOES,
        request=ReplayInput,
        examples=[_SINCE, DISABLED, _RUNNING, _EMPTY],
        responses={202: REPLAY},
    )
    @idempotent
    def post(self, request: Request, endpoint_id: UUID) -> HttpResponse:
        body = parse_body(ReplayInput, request)
        started = replays.start_replay(
            account_id=self.principal.account_id, endpoint_id=endpoint_id, **body
        )
        return Json(
            replay_object(started),
            status=202,
            headers={"Location": f"{request.path}/{started.id}"},
        )


@extend_schema(tags=["Webhooks"])
class ReplayView(ApiView):
    """One replay."""

    scope = "webhooks"
    not_found = _NO_REPLAY

    @extend_schema(
        operation_id="get_replay",
        summary="Get a replay and how far it has come",
        responses={200: REPLAY_WITH_DELIVERIES},
    )
    def get(self, request: Request, endpoint_id: UUID, replay_id: UUID) -> HttpResponse:
        replay = selectors.replay(self.principal.account_id, endpoint_id, replay_id)
        counts = selectors.replayed(replay_id)
        tag = etag(replay.version, *counts.values())
        return not_modified(request, tag) or Json(
            replay_with_deliveries(replay, counts), headers={"ETag": tag}
        )


@extend_schema(tags=["Webhooks"])
class PauseReplayView(ApiView):
    """Pausing."""

    scope = "webhooks"
    not_found = _NO_REPLAY

    @extend_schema(
        operation_id="pause_replay",
        summary="Pause a replay",
        description="What it has owed already is sent. Pausing a paused one changes nothing.",
        request=NoBody,
        examples=[_ENDED],
        responses={200: REPLAY},
    )
    @idempotent
    def post(self, request: Request, endpoint_id: UUID, replay_id: UUID) -> HttpResponse:
        parse_body(NoBody, request)
        paused = replays.pause_replay(
            account_id=self.principal.account_id, endpoint_id=endpoint_id, replay_id=replay_id
        )
        return Json(replay_object(paused))


@extend_schema(tags=["Webhooks"])
class ResumeReplayView(ApiView):
    """Going on."""

    scope = "webhooks"
    not_found = _NO_REPLAY

    @extend_schema(
        operation_id="resume_replay",
        summary="Resume a paused replay",
        description="It goes on where it was. Resuming a running one changes nothing.",
        request=NoBody,
        examples=[_ENDED],
        responses={200: REPLAY},
    )
    @idempotent
    def post(self, request: Request, endpoint_id: UUID, replay_id: UUID) -> HttpResponse:
        parse_body(NoBody, request)
        resumed = replays.resume_replay(
            account_id=self.principal.account_id, endpoint_id=endpoint_id, replay_id=replay_id
        )
        return Json(replay_object(resumed))


@extend_schema(tags=["Webhooks"])
class CancelReplayView(ApiView):
    """Ending it early."""

    scope = "webhooks"
    not_found = _NO_REPLAY

    @extend_schema(
        operation_id="cancel_replay",
        summary="Cancel a replay",
        description=(
            "Nothing more of it is sent, but for the retries of what was tried already. Canceling a "
            "canceled one changes nothing."
        ),
        request=NoBody,
        examples=[_ENDED],
        responses={200: REPLAY},
    )
    @idempotent
    def post(self, request: Request, endpoint_id: UUID, replay_id: UUID) -> HttpResponse:
        parse_body(NoBody, request)
        canceled = replays.cancel_replay(
            account_id=self.principal.account_id, endpoint_id=endpoint_id, replay_id=replay_id
        )
        return Json(replay_object(canceled))
