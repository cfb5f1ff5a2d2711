"""Pages of what no single app owns."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.common import mail
from apps.common.admin import BaseModelAdmin, RecordInline
from apps.common.models import Message, MessageAttachment

admin.site.index_title = "Everything that is kept"


class AttachmentInline(RecordInline):
    model = MessageAttachment
    fields = readonly_fields = ("name", "media_type")
    show_change_link = False


@admin.register(Message)
class MessageAdmin(BaseModelAdmin):
    """E-mail that is owed, was sent, or was given up."""

    list_display = ("to", "subject", "state", "failures", "due_at", "sent_at", "created_at")
    list_filter = (
        ("due_at", admin.EmptyFieldListFilter),
        ("sent_at", admin.EmptyFieldListFilter),
    )
    search_fields = ("to__exact",)
    search_ids = ("pk",)
    search_help_text = "A whole address, or the whole id of an e-mail."
    inlines = (AttachmentInline,)
    actions = ("send_again",)

    @admin.display
    def state(self, message: Message) -> str:
        if message.due_at is not None:
            return "waits"
        return "sent" if message.sent_at else "given up"

    @admin.action(description="Send the chosen e-mails again", permissions=["change"])
    def send_again(self, request: HttpRequest, chosen: "QuerySet[Message]") -> None:
        count = mail.owe_again(chosen)
        self.message_user(request, f"{count} will be sent again.", messages.SUCCESS)
