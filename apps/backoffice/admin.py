"""Pages of what no single app owns."""

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.backoffice import panels
from apps.common import jobruns, mail
from apps.common.admin import BaseModelAdmin, RecordInline
from apps.common.models import JobRun, Message, MessageAttachment

admin.site.index_title = "Everything that is kept"
panels.install()


@admin.register(JobRun)
class JobRunAdmin(BaseModelAdmin):
    """The schedule, as the code has it, and how each job of it does."""

    list_display = ("name", "queue", "every", "is_on", "started_at", "took", "outcome", "next_run")
    list_filter = ("is_on", ("error", admin.EmptyFieldListFilter))
    search_fields = ("name__startswith",)
    ordering = ("name",)
    readonly_fields = ("queue", "every", "next_run")
    actions = ("run_now", "switch_on", "switch_off")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[JobRun]":
        """A row of another release, which has jobs that this one has not, is left out."""
        return super().get_queryset(request).filter(name__in=settings.JOBS)

    @admin.display
    def queue(self, run: JobRun) -> str:
        return settings.JOBS[run.name].queue

    @admin.display(description="at least every")
    def every(self, run: JobRun) -> str:
        return str(timedelta(seconds=settings.JOBS[run.name].every_seconds))

    @admin.display(description="took")
    def took(self, run: JobRun) -> str:
        return "" if run.milliseconds is None else f"{run.milliseconds} ms"

    @admin.display(description="last outcome")
    def outcome(self, run: JobRun) -> str:
        if run.started_at is None:
            return "never ran"
        return run.error or "ok"

    @admin.display(description="next run, at the latest")
    def next_run(self, run: JobRun) -> datetime | None:
        if not run.is_on or run.started_at is None:
            return None
        return run.started_at + timedelta(seconds=settings.JOBS[run.name].every_seconds)

    @admin.action(description="Run the chosen jobs now", permissions=["change"])
    def run_now(self, request: HttpRequest, chosen: "QuerySet[JobRun]") -> None:
        self._say(request, jobruns.run_now(chosen), "was asked to run")

    @admin.action(description="Switch the chosen jobs on", permissions=["change"])
    def switch_on(self, request: HttpRequest, chosen: "QuerySet[JobRun]") -> None:
        self._say(request, jobruns.switch(chosen, is_on=True), "is on")

    @admin.action(description="Switch the chosen jobs off", permissions=["change"])
    def switch_off(self, request: HttpRequest, chosen: "QuerySet[JobRun]") -> None:
        self._say(request, jobruns.switch(chosen, is_on=False), "is off")

    def _say(self, request: HttpRequest, names: list[str], what: str) -> None:
        if not names:
            self.message_user(request, "None of them could be.", messages.WARNING)
        for name in names:
            self.message_user(request, f"{name} {what}.", messages.SUCCESS)


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
