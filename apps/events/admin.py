"""The event log and its consumers in the back office."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.enums import ActionVariant

from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin, RecordInline
from apps.common.admin.filters import Choices, MadeFilter, newest
from apps.common.admin.panels import (
    AROUND,
    LIMIT,
    Panel,
    name_actors,
    request_link,
    request_query,
    shown_actor,
)
from apps.common.admin.shown import age, link, list_of, moment, page_of, related
from apps.common.errors import Conflict
from apps.common.ids import uuid7_floor
from apps.events import dispatch
from apps.events.catalogue import event_types
from apps.events.models import Channel, ChannelMember, Consumer, Event


class RequestFilter(admin.SimpleListFilter):
    """The events of one request: `<about when> <its id>`, as links from histories have it.

    Ids of events tell their time, so that what is looked through is what happened around then.
    """

    title = "request"
    parameter_name = "request"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        asked = request.GET.get(self.parameter_name)
        return [(asked, asked.partition(" ")[2] or asked)] if asked else []

    def queryset(self, request: HttpRequest, rows: "QuerySet[Any]") -> "QuerySet[Any] | None":
        asked = self.value()
        if not asked:
            return None
        at, _, request_id = asked.partition(" ")
        try:
            return of_request(rows, request_id, datetime.fromisoformat(at))
        except (ValueError, OverflowError):
            return rows.none()


def of_request(rows: "QuerySet[Any]", request_id: str, at: datetime) -> "QuerySet[Any]":
    """Those of the request, which was about then; raises ValueError for a time without a zone, and
    OverflowError for one at the end of all time."""
    if at.tzinfo is None or not request_id:
        raise ValueError(at)
    span = {"pk__gte": uuid7_floor(at - AROUND), "pk__lt": uuid7_floor(at + AROUND)}
    return rows.filter(request_id=request_id, **span)


def _types() -> Choices:
    return sorted((kind.name, kind.name) for kind in event_types())


@admin.register(Event)
class EventAdmin(BaseModelAdmin):
    list_display = (
        "type",
        "position",
        "subject",
        "account_id",
        "actor_label",
        "asked_in",
        moment("occurred_at", "when"),
    )
    list_filter = (newest("type", _types), MadeFilter, RequestFilter)
    search_ids = ("pk", "subject", "account_id")
    search_help_text = "A whole id: of the event, its subject or its account."
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("type", "position"),
                    ("subject", "account_id"),
                    ("actor_label", "asked_in"),
                    ("occurred_at", "id"),
                )
            },
        ),
        ("Body", {"fields": ("body",)}),
        (
            "Who may read it",
            {"fields": (("channel_id", "readers"), ("sequence", "version")), "classes": ("tab",)},
        ),
    )
    readonly_fields = ("body", "actor_label", "asked_in")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Event]":
        """Lists need no bodies."""
        events: QuerySet[Event] = super().get_queryset(request)
        return events.defer("payload")

    def subject_of(self, row: Event) -> UUID:
        return row.pk

    def get_panels(self, request: HttpRequest, row: Event) -> Iterable[Panel]:
        yield _panel(
            "About the same object", Event.objects.filter(subject=row.subject), f"q={row.subject}"
        )
        if row.request_id:
            shared = of_request(Event.objects.all(), row.request_id, row.occurred_at)
            query = request_query(row.request_id, row.occurred_at)
            yield _panel("Of the same request", shared, query)

    @admin.display(description="actor")
    def actor_label(self, event: Event) -> str:
        return shown_actor(event.actor)

    @admin.display(description="request")
    def asked_in(self, event: Event) -> str:
        return request_link(event.request_id, event.occurred_at)

    @admin.display(description="body, as signed and sent")
    def body(self, event: Event) -> str:
        return format_html(
            '<pre class="whitespace-pre-wrap break-all text-xs">{}</pre>',
            _indented(bytes(event.payload)),
        )


def _indented(payload: bytes) -> str:
    """The same values; it is the stored bytes that are signed."""
    try:
        return orjson.dumps(orjson.loads(payload), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        return payload.decode(errors="replace")


def _panel(title: str, events: "QuerySet[Event]", query: str) -> Panel:
    found = list(events.defer("payload").order_by("-id")[:LIMIT])
    known = name_actors(event.actor for event in found)
    rows = [
        (
            age(event.occurred_at),
            link(page_of(event), event.type),
            event.subject,
            shown_actor(event.actor, known),
        )
        for event in found
    ]
    return Panel(title, ("when", "event", "subject", "who"), rows, list_of(Event, query))


class MemberInline(RecordInline):
    model = ChannelMember
    fields = readonly_fields = ("account",)
    ordering = ("id",)
    per_page = 50


@admin.register(Channel)
class ChannelAdmin(BaseModelAdmin):
    list_display = ("name", related("account"))
    list_select_related = ("account",)
    search_ids = ("pk", "account_id")
    search_accounts = ("account",)
    inlines = (MemberInline,)


@admin.register(Consumer)
class ConsumerAdmin(BaseModelAdmin):
    """Who listens to events here, and how far each has come."""

    list_display = ("name", "position", "failures", moment("retry_at", "next try"), "error")
    ordering = ("name",)

    @Action(
        "Skip the event",
        "It goes on after the event that it fails on, and never looks at that one again.",
        icon="skip_next",
        variant=ActionVariant.DANGER,
        when=lambda consumer: consumer.failures > 0,
    )
    def skip(self, consumer: Consumer, actor: Actor) -> str:
        if not dispatch.skip(consumer.name):
            raise Conflict(f"{consumer.name} is not failing.")
        return f"{consumer.name} goes on after that event."
