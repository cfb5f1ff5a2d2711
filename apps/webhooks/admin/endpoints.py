"""Endpoints, and what can be done to them. Their secrets are shown to nobody but once, when they are new."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from apps.common import clock
from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin, RecordInline
from apps.common.admin.filters import DeletedFilter
from apps.common.admin.panels import Panel
from apps.common.admin.shown import (
    age,
    moment,
    related,
    state,
)
from apps.common.bulk import Revealed
from apps.webhooks import replays, services
from apps.webhooks.admin.deliveries import deliveries_to
from apps.webhooks.admin.replays import replays_to
from apps.webhooks.enums import (
    DisabledReason,
    EndpointStatus,
    ReplayOnly,
)
from apps.webhooks.errors import EndpointDisabled
from apps.webhooks.models import KEPT, Endpoint, Pace
from apps.webhooks.services import DEFAULT_GRACE_SECONDS, MAX_GRACE_SECONDS


class ReplayForm(forms.Form):
    """What a replay needs."""

    only = forms.ChoiceField(
        choices=ReplayOnly.choices,
        label="What",
        help_text="All events, or the deliveries that failed.",
        widget=UnfoldAdminSelectWidget,
    )
    hours = forms.IntegerField(
        min_value=1,
        max_value=KEPT // timedelta(hours=1),
        label="Of the last hours",
        widget=UnfoldAdminIntegerFieldWidget,
    )


class RotateForm(forms.Form):
    """How long the earlier secret signs too."""

    grace_seconds = forms.IntegerField(
        min_value=0,
        max_value=MAX_GRACE_SECONDS,
        initial=DEFAULT_GRACE_SECONDS,
        label="Seconds of grace",
        help_text="For so long both secrets sign. With 0 the earlier one ends at once.",
        widget=UnfoldAdminIntegerFieldWidget,
    )


def _is_there(endpoint: Endpoint) -> bool:
    return endpoint.deleted_at is None


def _is_on(endpoint: Endpoint) -> bool:
    return _is_there(endpoint) and endpoint.status != EndpointStatus.DISABLED


class PaceInline(RecordInline):
    model = Pace
    verbose_name_plural = "pace"
    show_change_link = False
    fields = readonly_fields = (
        "failures",
        "failing_since",
        "failed_at",
        "closed_until",
        "openings",
        "places",
        "sluggish",
    )


@admin.register(Endpoint)
class EndpointAdmin(BaseModelAdmin):
    list_display = (
        "url",
        state("status"),
        related("account"),
        "disabled_reason",
        "failing_since",
        "listens_to",
        moment("created_at", "made"),
    )
    list_filter = ("status", DeletedFilter)
    list_select_related = ("account",)
    search_ids = ("pk", "account_id")
    search_accounts = ("account",)
    search_help_text = "A whole id, of the endpoint or its account, or the start of the slug."
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("url", "status_label"),
                    ("account", "disabled_reason"),
                    ("description", "warned_at"),
                    ("event_types", "ordered"),
                    ("rate_limit", "on_failure"),
                )
            },
        ),
        (
            "Record",
            {
                "fields": (("id", "version"), ("created_at", "updated_at"), "deleted_at"),
                "classes": ("tab",),
            },
        ),
    )
    readonly_fields = ("status_label",)
    inlines = (PaceInline,)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Endpoint]":
        paces = Pace.objects.filter(pk=OuterRef("pk")).values("failing_since")
        endpoints: QuerySet[Endpoint] = super().get_queryset(request)
        return endpoints.annotate(fails_since=Subquery(paces))

    def subject_of(self, row: Endpoint) -> UUID:
        return row.pk

    def get_panels(self, request: HttpRequest, row: Endpoint) -> Iterable[Panel]:
        yield deliveries_to(row)
        yield replays_to(row)

    @admin.display(description="failing")
    def failing_since(self, endpoint: Endpoint) -> Any:
        return age(endpoint.fails_since)  # type: ignore[attr-defined]  # by get_queryset

    @admin.display
    def listens_to(self, endpoint: Endpoint) -> str:
        return ", ".join(endpoint.event_types)

    @Action(
        "Enable",
        "What was parked with it is sent, and all that is held against it is forgotten.",
        icon="play_circle",
        variant=ActionVariant.PRIMARY,
        when=lambda endpoint: _is_there(endpoint) and endpoint.status != EndpointStatus.ENABLED,
    )
    def enable(self, endpoint: Endpoint, actor: Actor) -> str:
        services.enable_endpoint(
            account_id=endpoint.account_id, endpoint_id=endpoint.pk, actor=actor
        )
        return f"{endpoint} is enabled."

    @Action(
        "Send a test",
        "It is sent an event webhook_endpoint.test, whatever it listens to.",
        icon="science",
        when=_is_on,
    )
    def test(self, endpoint: Endpoint, actor: Actor) -> str:
        owed = services.send_test(
            account_id=endpoint.account_id, endpoint_id=endpoint.pk, actor=actor
        )
        return f"{endpoint} is sent the delivery {owed.id}."

    @Action(
        "Replay",
        "What it listens to of that time is sent to it again. It stands below, and can be canceled.",
        icon="replay",
        form=ReplayForm,
        when=_is_on,
    )
    def replay(self, endpoint: Endpoint, actor: Actor, only: str, hours: int) -> str:
        started = replays.start_replay(
            account_id=endpoint.account_id,
            endpoint_id=endpoint.pk,
            since=clock.now() - timedelta(hours=hours),
            only=ReplayOnly(only),
        )
        return f"{endpoint} is sent {started.total:,} events again (replay {started.id})."

    @Action(
        "New secret",
        "It is signed with a new secret from now on. You are shown it once.",
        icon="key",
        form=RotateForm,
        permission="webhooks.rotate_secret",
        alone=True,
        when=_is_there,
    )
    def rotate_secret(self, endpoint: Endpoint, actor: Actor, grace_seconds: int) -> Revealed:
        rotated = services.rotate_secret(
            account_id=endpoint.account_id, endpoint_id=endpoint.pk, grace_seconds=grace_seconds
        )
        return Revealed(f"{endpoint} is signed with a new secret.", rotated.secret)

    @Action(
        "Disable",
        "Nothing is sent to it until it is enabled; what it is owed is parked.",
        icon="pause_circle",
        variant=ActionVariant.DANGER,
        when=_is_on,
    )
    def disable(self, endpoint: Endpoint, actor: Actor) -> str:
        if not services.disable_endpoint(
            endpoint_id=endpoint.pk, reason=DisabledReason.OPERATOR, actor=actor
        ):
            raise EndpointDisabled("It was not enabled.")
        return f"{endpoint} is disabled."
