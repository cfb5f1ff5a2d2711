"""Endpoints, deliveries, attempts and replays in the back office. Secrets are shown to nobody."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from unfold.forms import ActionForm
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from apps.common import clock
from apps.common.admin import BaseModelAdmin, RecordInline, actor_of
from apps.common.errors import DomainError
from apps.common.ids import uuid7_floor
from apps.webhooks import replays, selectors, services
from apps.webhooks.enums import DeliveryStatus, DisabledReason, ReplayOnly
from apps.webhooks.models import KEPT, Attempt, Delivery, Due, Endpoint, Pace, Replay


def _each(
    page: BaseModelAdmin, request: HttpRequest, chosen: "QuerySet[Any]", act: Callable[[Any], str]
) -> None:
    """Do it to each of the chosen, and tell what became of it; what one refuses spoils no other."""
    for one in chosen:
        try:
            page.message_user(request, act(one))
        except DomainError as error:
            page.message_user(request, f"{one}: {error.detail}", messages.WARNING)


class ReplayForm(ActionForm):  # type: ignore[misc]  # unfold has no type hints
    """The action of the list, with what a replay needs."""

    only = forms.ChoiceField(
        required=False,
        choices=ReplayOnly.choices,
        label="Replay:",
        widget=UnfoldAdminSelectWidget,
    )
    hours = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=KEPT // timedelta(hours=1),
        label="of the last hours:",
        widget=UnfoldAdminIntegerFieldWidget,
    )


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
        "account",
        "status",
        "disabled_reason",
        "failing_since",
        "event_types",
        "deleted_at",
    )
    list_filter = ("status", ("deleted_at", admin.EmptyFieldListFilter))
    list_select_related = ("account",)
    search_fields = ("account__slug__startswith",)
    search_ids = ("pk", "account_id")
    search_help_text = "A whole id, of the endpoint or its account, or the start of the slug."
    fields = (
        "id",
        "account",
        "url",
        "event_types",
        "description",
        "status",
        "disabled_reason",
        "ordered",
        "on_failure",
        "rate_limit",
        "warned_at",
        "version",
        "created_at",
        "updated_at",
        "deleted_at",
    )
    inlines = (PaceInline,)
    action_form = ReplayForm
    actions = ("enable", "disable", "test", "replay")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Endpoint]":
        paces = Pace.objects.filter(pk=OuterRef("pk")).values("failing_since")
        endpoints: QuerySet[Endpoint] = super().get_queryset(request)
        return endpoints.annotate(failing_since=Subquery(paces))

    @admin.display
    def failing_since(self, endpoint: Endpoint) -> Any:
        return endpoint.failing_since  # type: ignore[attr-defined]  # by get_queryset

    @admin.action(description="Enable the chosen endpoints", permissions=["change"])
    def enable(self, request: HttpRequest, chosen: "QuerySet[Endpoint]") -> None:
        def enable(endpoint: Endpoint) -> str:
            services.enable_endpoint(
                account_id=endpoint.account_id, endpoint_id=endpoint.id, actor=actor_of(request)
            )
            return f"{endpoint} is enabled."

        _each(self, request, chosen, enable)

    @admin.action(description="Disable the chosen endpoints", permissions=["change"])
    def disable(self, request: HttpRequest, chosen: "QuerySet[Endpoint]") -> None:
        for endpoint in chosen:
            if services.disable_endpoint(
                endpoint_id=endpoint.id, reason=DisabledReason.OPERATOR, actor=actor_of(request)
            ):
                self.message_user(request, f"{endpoint} is disabled.")
            else:
                self.message_user(request, f"{endpoint} was not enabled.", messages.WARNING)

    @admin.action(description="Send a test event to the chosen endpoints", permissions=["change"])
    def test(self, request: HttpRequest, chosen: "QuerySet[Endpoint]") -> None:
        def test(endpoint: Endpoint) -> str:
            owed = services.send_test(
                account_id=endpoint.account_id, endpoint_id=endpoint.id, actor=actor_of(request)
            )
            return f"{endpoint} is sent the delivery {owed.id}."

        _each(self, request, chosen, test)

    @admin.action(description="Replay events to the chosen endpoints", permissions=["change"])
    def replay(self, request: HttpRequest, chosen: "QuerySet[Endpoint]") -> None:
        form = ReplayForm(request.POST)
        form.fields.pop("action")  # that we are here says which
        if not form.is_valid() or not form.cleaned_data["only"] or not form.cleaned_data["hours"]:
            self.message_user(request, "Say what to replay, and of how many hours.", messages.ERROR)
            return
        since = clock.now() - timedelta(hours=form.cleaned_data["hours"])

        def start(endpoint: Endpoint) -> str:
            started = replays.start_replay(
                account_id=endpoint.account_id,
                endpoint_id=endpoint.id,
                since=since,
                only=form.cleaned_data["only"],
            )
            return f"{endpoint} is sent {started.total:,} events again (replay {started.id})."

        _each(self, request, chosen, start)


class AttemptInline(RecordInline):
    model = Attempt
    fields = readonly_fields = (
        "number",
        "started_at",
        "status_code",
        "error",
        "duration_ms",
        "dns_us",
        "connect_us",
        "tls_us",
        "first_byte_us",
    )
    ordering = ("-number",)


class DeliveryStatusFilter(admin.SimpleListFilter):
    """Each by an index of its own: what is pending has a row in the small table of what is owed."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return DeliveryStatus.choices

    def queryset(self, request: HttpRequest, rows: "QuerySet[Any]") -> "QuerySet[Any] | None":
        status = self.value()
        if status not in DeliveryStatus.values:
            return None
        if status == DeliveryStatus.PENDING:
            rows = rows.filter(pk__in=Due.objects.values("pk"))
        return rows.filter(status=status)


class MadeFilter(admin.SimpleListFilter):
    """By the ids, which tell when a row was made and in which partition it is."""

    title = "time"
    parameter_name = "made"
    spans = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, f"The last {name}") for name in self.spans]

    def queryset(self, request: HttpRequest, rows: "QuerySet[Any]") -> "QuerySet[Any] | None":
        span = self.spans.get(self.value() or "")
        return rows.filter(pk__gte=uuid7_floor(clock.now() - span)) if span else None


@admin.register(Delivery)
class DeliveryAdmin(BaseModelAdmin):
    list_display = (
        "event_type",
        "endpoint",
        "status",
        "reason",
        "attempt_count",
        "last_status_code",
        "created_at",
    )
    list_filter = (DeliveryStatusFilter, MadeFilter)
    list_select_related = ("endpoint",)
    search_ids = ("pk", "event_id", "subject", "endpoint_id", "replay_id")
    search_help_text = (
        "A whole id: of the delivery, its event, the event's subject, the endpoint or a replay."
    )
    inlines = (AttemptInline,)
    actions = ("redeliver",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Delivery]":
        return super().get_queryset(request).defer("endpoint__secret")

    @admin.action(description="Send the chosen deliveries again", permissions=["change"])
    def redeliver(self, request: HttpRequest, chosen: "QuerySet[Delivery]") -> None:
        def redeliver(delivery: Delivery) -> str:
            services.redeliver(account_id=delivery.endpoint.account_id, delivery_id=delivery.id)
            return f"{delivery} will be sent again."

        _each(self, request, chosen.select_related("endpoint"), redeliver)


@admin.register(Attempt)
class AttemptAdmin(BaseModelAdmin):
    list_display = ("delivery_id", "number", "started_at", "status_code", "error", "duration_ms")
    list_filter = (MadeFilter,)
    search_ids = ("pk", "delivery_id")
    search_help_text = "A whole id, of the attempt or its delivery."
    fields = (
        "id",
        "delivery",
        "number",
        "url",
        "started_at",
        "duration_ms",
        "dns_us",
        "connect_us",
        "tls_us",
        "first_byte_us",
        "status_code",
        "error",
        "request_headers",
        "response_headers",
        "answer",
    )
    readonly_fields = ("answer",)

    @admin.display(description="response body")
    def answer(self, attempt: Attempt) -> str:
        return bytes(attempt.response_body).decode(errors="replace")


@admin.register(Replay)
class ReplayAdmin(BaseModelAdmin):
    list_display = ("endpoint", "only", "since", "until", "status", "total", "processed", "skipped")
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
    actions = ("pause", "resume", "cancel")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Replay]":
        return super().get_queryset(request).defer("endpoint__secret")

    @admin.display
    def deliveries(self, replay: Replay) -> str:
        counts = selectors.replayed(replay.id)
        return ", ".join(f"{count:,} {status}" for status, count in counts.items() if count)

    @admin.action(description="Pause the chosen replays", permissions=["change"])
    def pause(self, request: HttpRequest, chosen: "QuerySet[Replay]") -> None:
        self._change(request, chosen, replays.pause_replay)

    @admin.action(description="Resume the chosen replays", permissions=["change"])
    def resume(self, request: HttpRequest, chosen: "QuerySet[Replay]") -> None:
        self._change(request, chosen, replays.resume_replay)

    @admin.action(description="Cancel the chosen replays", permissions=["change"])
    def cancel(self, request: HttpRequest, chosen: "QuerySet[Replay]") -> None:
        self._change(request, chosen, replays.cancel_replay)

    def _change(
        self, request: HttpRequest, chosen: "QuerySet[Replay]", change: Callable[..., Replay]
    ) -> None:
        def act(replay: Replay) -> str:
            changed = change(
                account_id=replay.endpoint.account_id,
                endpoint_id=replay.endpoint_id,
                replay_id=replay.id,
            )
            return f"The replay {changed} is {changed.status}."

        _each(self, request, chosen.select_related("endpoint"), act)
