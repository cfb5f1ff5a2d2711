"""Endpoints, deliveries and attempts in the back office. Secrets are shown to nobody."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.common.admin import BaseModelAdmin, RecordInline, actor_of
from apps.common.errors import DomainError
from apps.webhooks import services
from apps.webhooks.enums import DisabledReason
from apps.webhooks.models import Attempt, Delivery, Endpoint


@admin.register(Endpoint)
class EndpointAdmin(BaseModelAdmin):
    list_display = ("url", "account", "status", "disabled_reason", "event_types", "deleted_at")
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
        "version",
        "created_at",
        "updated_at",
        "deleted_at",
    )
    actions = ("enable", "disable")

    @admin.action(description="Enable the chosen endpoints", permissions=["change"])
    def enable(self, request: HttpRequest, endpoints: "QuerySet[Endpoint]") -> None:
        for endpoint in endpoints:
            try:
                services.enable_endpoint(
                    account_id=endpoint.account_id,
                    endpoint_id=endpoint.id,
                    actor=actor_of(request),
                )
            except DomainError as error:
                self.message_user(request, f"{endpoint}: {error.detail}", messages.WARNING)
            else:
                self.message_user(request, f"{endpoint} is enabled.")

    @admin.action(description="Disable the chosen endpoints", permissions=["change"])
    def disable(self, request: HttpRequest, endpoints: "QuerySet[Endpoint]") -> None:
        for endpoint in endpoints:
            if services.disable_endpoint(
                endpoint_id=endpoint.id, reason=DisabledReason.OPERATOR, actor=actor_of(request)
            ):
                self.message_user(request, f"{endpoint} is disabled.")
            else:
                self.message_user(request, f"{endpoint} was not enabled.", messages.WARNING)


class AttemptInline(RecordInline):
    model = Attempt
    fields = readonly_fields = ("number", "started_at", "duration_ms", "status_code", "error")
    ordering = ("-number",)


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
    list_filter = ("status",)
    list_select_related = ("endpoint",)
    search_ids = ("pk", "event_id", "subject", "endpoint_id")
    search_help_text = (
        "A whole id: of the delivery, its event, the event's subject or the endpoint."
    )
    inlines = (AttemptInline,)
    actions = ("redeliver",)

    @admin.action(description="Send the chosen deliveries again", permissions=["change"])
    def redeliver(self, request: HttpRequest, deliveries: "QuerySet[Delivery]") -> None:
        for delivery in deliveries.select_related("endpoint"):
            try:
                services.redeliver(account_id=delivery.endpoint.account_id, delivery_id=delivery.id)
            except DomainError as error:
                self.message_user(request, f"{delivery}: {error.detail}", messages.WARNING)
            else:
                self.message_user(request, f"{delivery} will be sent again.")


@admin.register(Attempt)
class AttemptAdmin(BaseModelAdmin):
    list_display = ("delivery_id", "number", "started_at", "status_code", "error", "duration_ms")
    search_ids = ("pk", "delivery_id")
    search_help_text = "A whole id, of the attempt or its delivery."
    fields = (
        "id",
        "delivery",
        "number",
        "url",
        "started_at",
        "duration_ms",
        "status_code",
        "error",
        "request_headers",
        "answer",
    )
    readonly_fields = ("answer",)

    @admin.display(description="response body")
    def answer(self, attempt: Attempt) -> str:
        return bytes(attempt.response_body).decode(errors="replace")
