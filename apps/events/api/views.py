"""The event feed and the catalogue of types."""

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from apps.common.api.conditional import etag, not_modified
from apps.common.api.responses import Json
from apps.common.api.serializers import parse_query
from apps.common.api.views import ApiView
from apps.common.schemas import page
from apps.events import selectors
from apps.events.api.representations import (
    EVENT,
    EVENT_TYPES,
    event_object,
    event_type_object,
)
from apps.events.api.serializers import FeedQuery
from apps.events.catalogue import event_types
from apps.events.errors import EventNotFound


@extend_schema(tags=["Events"])
class EventsView(ApiView):
    """The feed."""

    scope = "events"

    @extend_schema(
        operation_id="list_events",
        summary="Read the event feed",
        description=(
            "Events in the order of their positions, from `after` on. Remember the position of the last "
            "one you handled and ask with it again: you miss nothing. `next` is there while a page is "
            "full."
        ),
        parameters=[FeedQuery],
        responses={200: page(EVENT)},
    )
    def get(self, request: Request) -> HttpResponse:
        query = parse_query(FeedQuery, request)
        events = selectors.feed(
            account_id=self.principal.account_id,
            after=query["after"],
            limit=query["limit"],
            types=query.get("types"),
        )
        full = len(events) == query["limit"]
        following = (
            replace_query_param(request.build_absolute_uri(), "after", events[-1].position)
            if full
            else None
        )
        return Json(
            {
                "results": [event_object(event) for event in events],
                "next": following,
                "previous": None,
            }
        )


@extend_schema(tags=["Events"])
class EventView(ApiView):
    """One event."""

    scope = "events"
    not_found = EventNotFound("There is no such event, or your account may not see it.")

    @extend_schema(operation_id="get_event", summary="Get an event", responses={200: EVENT})
    def get(self, request: Request, event_id: UUID) -> HttpResponse:
        event = selectors.visible_event(self.principal.account_id, event_id)
        tag = etag(event.version, event.id)
        return not_modified(request, tag) or Json(event_object(event), headers={"ETag": tag})


@extend_schema(tags=["Events"])
class EventTypesView(ApiView):
    """The catalogue."""

    scope = "events"

    @extend_schema(
        operation_id="list_event_types",
        summary="List event types",
        description="Every type with the JSON Schema of its body.",
        responses={200: EVENT_TYPES},
    )
    def get(self, request: Request) -> HttpResponse:
        return Json({"results": [event_type_object(kind) for kind in event_types()]})
