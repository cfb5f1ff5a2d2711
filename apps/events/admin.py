"""The event log and its consumers in the back office."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.common.admin import BaseModelAdmin, RecordInline
from apps.events import dispatch
from apps.events.models import Channel, ChannelMember, Consumer, Event


@admin.register(Event)
class EventAdmin(BaseModelAdmin):
    list_display = ("position", "type", "subject", "account_id", "actor_label", "occurred_at")
    list_filter = ("type",)
    search_ids = ("pk", "subject", "account_id")
    search_help_text = "A whole id: of the event, its subject or its account."
    exclude = ("payload",)
    readonly_fields = ("body",)

    @admin.display(description="actor")
    def actor_label(self, event: Event) -> str:
        return str(event.actor.get("label", ""))

    @admin.display(description="body, as signed and sent")
    def body(self, event: Event) -> str:
        return bytes(event.payload).decode()


class MemberInline(RecordInline):
    model = ChannelMember
    fields = readonly_fields = ("account",)


@admin.register(Channel)
class ChannelAdmin(BaseModelAdmin):
    list_display = ("name", "account")
    list_select_related = ("account",)
    search_fields = ("account__slug__startswith",)
    inlines = (MemberInline,)


@admin.register(Consumer)
class ConsumerAdmin(BaseModelAdmin):
    list_display = ("name", "position", "failures", "retry_at", "error")
    ordering = ("name",)
    actions = ("skip",)

    @admin.action(
        description="Skip the event that the chosen consumers fail on", permissions=["change"]
    )
    def skip(self, request: HttpRequest, consumers: "QuerySet[Consumer]") -> None:
        for consumer in consumers:
            if dispatch.skip(consumer.name):
                self.message_user(request, f"{consumer.name} goes on after that event.")
            else:
                self.message_user(request, f"{consumer.name} is not failing.", messages.WARNING)
