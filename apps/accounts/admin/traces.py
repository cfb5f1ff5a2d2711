"""Who signed in, who failed to, and what people changed in the back office."""

from axes.models import AccessAttempt, AccessLog
from django.contrib import admin
from django.contrib.admin.models import LogEntry

from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin


@admin.register(AccessAttempt)
class AccessAttemptAdmin(BaseModelAdmin):
    """Who gave wrong passwords in the last quarter of an hour, and who is locked out by that."""

    list_display = ("username", "ip_address", "failures_since_start", "attempt_time", "user_agent")
    search_fields = ("username__startswith",)
    search_help_text = "The start of a name."
    exclude = ("get_data", "post_data", "http_accept")

    @Action("Let in", "They can try again at once.", icon="lock_open")
    def let_in(self, attempt: AccessAttempt, actor: Actor) -> str:
        attempt.delete()
        return f"{attempt.username} can try again from {attempt.ip_address}."


@admin.register(AccessLog)
class AccessLogAdmin(BaseModelAdmin):
    """Who signed in, from where, and out again; kept for half a year."""

    list_display = ("username", "ip_address", "attempt_time", "logout_time", "user_agent")
    search_fields = ("username__startswith",)
    search_help_text = "The start of a name."
    exclude = ("session_hash", "http_accept")


@admin.register(LogEntry)
class LogEntryAdmin(BaseModelAdmin):
    """What people did here: by actions, and with forms of accounts, keys, people and roles; kept
    for two years."""

    list_display = ("action_time", "user", "content_type", "object_repr", "what")
    list_filter = ("action_flag", "content_type")
    list_select_related = ("user", "content_type")
    search_fields = ("user__username__startswith",)
    search_ids = ("object_id",)
    search_help_text = "The start of a user name, or the whole id of what was changed."
    readonly_fields = ("what",)

    @admin.display(description="what")
    def what(self, entry: LogEntry) -> str:
        return entry.get_change_message() or entry.get_action_flag_display()
