"""Replays, and how far they have come."""

from collections.abc import Callable

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.enums import ActionVariant

from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin
from apps.common.admin.panels import LIMIT, Panel
from apps.common.admin.shown import (
    age,
    label,
    link,
    list_of,
    moment,
    page_of,
    related,
    state,
)
from apps.webhooks import replays, selectors
from apps.webhooks.enums import (
    ReplayStatus,
)
from apps.webhooks.models import Endpoint, Replay


@admin.register(Replay)
class ReplayAdmin(BaseModelAdmin):
    list_display = (
        related("endpoint"),
        state("status"),
        "only",
        moment("since"),
        moment("until"),
        "total",
        "processed",
        "skipped",
    )
    list_filter = ("status",)
    list_select_related = ("endpoint",)
    search_ids = ("pk", "endpoint_id")
    search_help_text = "A whole id, of the replay or its endpoint."
    fields = (
        "id",
        "endpoint",
        "only",
        "since",
        "until",
        "event_types",
        "rate",
        "status",
        "total",
        "processed",
        "skipped",
        "deliveries",
        "created_at",
        "updated_at",
        "ended_at",
    )
    readonly_fields = ("deliveries",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Replay]":
        return super().get_queryset(request).defer("endpoint__secret")

    @admin.display
    def deliveries(self, replay: Replay) -> str:
        counts = selectors.replayed(replay.id)
        return ", ".join(f"{count:,} {status}" for status, count in counts.items() if count)

    @Action(
        "Pause",
        "Nothing more of it is sent until it is resumed.",
        icon="pause_circle",
        when=lambda replay: replay.status == ReplayStatus.RUNNING,
    )
    def pause(self, replay: Replay, actor: Actor) -> str:
        return _changed(replay, replays.pause_replay)

    @Action(
        "Resume",
        "It goes on where it was paused.",
        icon="play_circle",
        variant=ActionVariant.PRIMARY,
        when=lambda replay: replay.status == ReplayStatus.PAUSED,
    )
    def resume(self, replay: Replay, actor: Actor) -> str:
        return _changed(replay, replays.resume_replay)

    @Action(
        "Cancel",
        "What it owes and has not tried yet is taken back. It cannot be resumed.",
        icon="cancel",
        variant=ActionVariant.DANGER,
        when=lambda replay: replay.ended_at is None,
    )
    def cancel(self, replay: Replay, actor: Actor) -> str:
        return _changed(replay, replays.cancel_replay)


def _changed(replay: Replay, change: Callable[..., Replay]) -> str:
    changed = change(
        account_id=replay.endpoint.account_id,
        endpoint_id=replay.endpoint_id,
        replay_id=replay.pk,
    )
    return f"The replay {changed} is {changed.status}."


def replays_to(endpoint: Endpoint) -> Panel:
    """The newest replays to an endpoint."""
    newest = Replay.objects.filter(endpoint=endpoint).order_by("-id")[:LIMIT]
    rows = [
        (
            link(page_of(replay), replay),
            label(replay.status),
            f"{replay.processed:,} of {replay.total:,}",
            age(replay.created_at),
        )
        for replay in newest
    ]
    headers = ("replay", "state", "owed", "started")
    return Panel("Replays", headers, rows, list_of(Replay, f"q={endpoint.pk}"), "None in 30 days.")
