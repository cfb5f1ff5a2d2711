"""Deliveries with their attempts."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, Value
from django.http import HttpRequest
from django.urls import reverse
from unfold.enums import ActionVariant

from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin, RecordInline
from apps.common.admin.filters import MadeFilter
from apps.common.admin.panels import LIMIT, Panel
from apps.common.admin.shown import (
    NOTHING,
    age,
    label,
    link,
    list_of,
    moment,
    page_of,
    related,
    state,
)
from apps.common.keyset import OneOf
from apps.webhooks import services
from apps.webhooks.enums import UNDELIVERED, DeliveryStatus
from apps.webhooks.models import Attempt, Delivery, Due, Endpoint


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
    """By the small tables of what is owed and of what rests without success; all else is delivered."""

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
        elif status in UNDELIVERED:
            rows = rows.filter(OneOf("undelivered__status", Value([status])))
        return rows.filter(status=status)


@admin.register(Delivery)
class DeliveryAdmin(BaseModelAdmin):
    list_display = (
        "event_type",
        state("status"),
        "reason",
        related("endpoint"),
        "attempt_count",
        "last_status_code",
        moment("created_at", "made"),
        moment("updated_at", "changed"),
    )
    list_filter = (DeliveryStatusFilter, MadeFilter)
    list_select_related = ("endpoint",)
    search_ids = ("pk", "event_id", "subject", "endpoint_id", "replay_id")
    search_help_text = (
        "A whole id: of the delivery, its event, the event's subject, the endpoint or a replay."
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("event_type", "status_label"),
                    ("endpoint", "reason"),
                    ("event", "subject"),
                    ("attempt_count", "last_status_code"),
                    ("next_try", "replay_id"),
                )
            },
        ),
        (
            "Record",
            {"fields": (("id", "retry_step"), ("created_at", "updated_at")), "classes": ("tab",)},
        ),
    )
    readonly_fields = ("status_label", "event", "next_try")
    inlines = (AttemptInline,)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Delivery]":
        return super().get_queryset(request).defer("endpoint__secret")

    def get_ordering(self, request: HttpRequest) -> Any:
        """What rests without success is read by the index of its status."""
        if request.GET.get(DeliveryStatusFilter.parameter_name) in UNDELIVERED:
            return ("undelivered__status", "-undelivered__pk")
        return super().get_ordering(request)

    @admin.display
    def event(self, delivery: Delivery) -> str:
        return link(
            reverse("admin:events_event_change", args=[delivery.event_id]), delivery.event_id
        )

    @admin.display
    def next_try(self, delivery: Delivery) -> Any:
        due = Due.objects.filter(pk=delivery.pk).first()
        return "none" if due is None else age(due.due_at)

    @Action(
        "Send again",
        "It is sent now, whatever became of it, with all its retries.",
        icon="send",
        variant=ActionVariant.PRIMARY,
    )
    def redeliver(self, delivery: Delivery, actor: Actor) -> str:
        services.redeliver(account_id=delivery.endpoint.account_id, delivery_id=delivery.pk)
        return f"{delivery.event_type} to {delivery.endpoint} will be sent again."


@admin.register(Attempt)
class AttemptAdmin(BaseModelAdmin):
    list_display = (
        moment("started_at", "when"),
        "number",
        "status_code",
        "error",
        "duration_ms",
        "delivery_id",
    )
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


def deliveries_to(endpoint: Endpoint) -> Panel:
    """The newest deliveries to an endpoint."""
    newest = Delivery.objects.filter(endpoint=endpoint).order_by("-id")[:LIMIT]
    rows = [
        (
            age(delivery.created_at),
            link(page_of(delivery), delivery.event_type),
            label(delivery.status, delivery.reason),
            delivery.attempt_count,
            delivery.last_status_code or NOTHING,
        )
        for delivery in newest
    ]
    headers = ("when", "event", "state", "attempts", "answer")
    more = list_of(Delivery, f"q={endpoint.pk}")
    return Panel("Sent to it", headers, rows, more, "None in 30 days.")
