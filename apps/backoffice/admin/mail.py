"""E-mail that is owed, was sent, or was given up."""

from django.contrib import admin
from unfold.enums import ActionVariant

from apps.common import mail
from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin, RecordInline
from apps.common.admin.filters import MadeFilter
from apps.common.admin.shown import label, moment
from apps.common.errors import Conflict
from apps.common.models import Message, MessageAttachment


class AttachmentInline(RecordInline):
    model = MessageAttachment
    fields = readonly_fields = ("name", "media_type")
    show_change_link = False


@admin.register(Message)
class MessageAdmin(BaseModelAdmin):
    list_display = (
        "subject",
        "state",
        "to",
        "failures",
        moment("due_at", "due"),
        moment("sent_at"),
        moment("created_at", "owed since"),
    )
    list_filter = (("due_at", admin.EmptyFieldListFilter), MadeFilter)
    search_fields = ("to__exact",)
    search_ids = ("pk",)
    search_help_text = "A whole address, or the whole id of an e-mail."
    inlines = (AttachmentInline,)

    @admin.display
    def state(self, message: Message) -> str:
        if message.due_at is not None:
            return label("waits", message.error)
        return label("sent") if message.sent_at else label("failed", message.error)

    @Action(
        "Send again",
        "It is sent to its address again, whatever became of it.",
        icon="send",
        variant=ActionVariant.PRIMARY,
        when=lambda message: message.due_at is None,
    )
    def send_again(self, message: Message, actor: Actor) -> str:
        if not mail.owe_again(Message.objects.filter(pk=message.pk)):
            raise Conflict("It waits to be sent already.")
        return f"{message} will be sent again."
