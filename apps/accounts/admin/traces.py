"""Who signed in, who failed to, and what people changed in the back office."""

from axes.models import AccessAttempt, AccessLog
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.common.admin import BaseModelAdmin


@admin.register(AccessAttempt)
class AccessAttemptAdmin(BaseModelAdmin):
    """Who gave wrong passwords in the last quarter of an hour, and who is locked out by that."""

    list_display = ("username", "ip_address", "failures_since_start", "attempt_time", "user_agent")
    search_fields = ("username__startswith",)
    search_help_text = "The start of a name."
    exclude = ("get_data", "post_data", "http_accept")
    actions = ("let_in",)

    @admin.action(description="Let the chosen try again at once", permissions=["change"])
    def let_in(self, request: HttpRequest, chosen: "QuerySet[AccessAttempt]") -> None:
        for name, address in list(chosen.values_list("username", "ip_address")):
            self.message_user(request, f"{name} can try again from {address}.", messages.SUCCESS)
        chosen.delete()


@admin.register(AccessLog)
class AccessLogAdmin(BaseModelAdmin):
    """Who signed in, from where, and out again; kept for half a year."""

    list_display = ("username", "ip_address", "attempt_time", "logout_time", "user_agent")
    search_fields = ("username__startswith",)
    search_help_text = "The start of a name."
    exclude = ("session_hash", "http_accept")


@admin.register(LogEntry)
class LogEntryAdmin(BaseModelAdmin):
    """What people changed of accounts, keys, people and roles; other objects have timelines of their own."""

    list_display = ("action_time", "user", "content_type", "object_repr", "what")
    list_filter = ("action_flag", "content_type")
    list_select_related = ("user", "content_type")
    search_fields = ("user__username__startswith",)
    search_ids = ("object_id",)
    search_help_text = "The start of a user name, or the whole id of what was changed."
    readonly_fields = ("what",)

    @admin.display(description="what")
    def what(self, entry: LogEntry) -> str:
        return f"{entry.get_action_flag_display()} {entry.get_change_message()}".strip()
