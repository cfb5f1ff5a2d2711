"""Streams and their runs in the back office. Secrets are shown to nobody."""

from collections.abc import Callable

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.common.admin import BaseModelAdmin, actor_of
from apps.common.errors import DomainError
from apps.datafetch.events import health
from apps.datafetch.models import Run, Stream
from apps.datafetch.services import commands


@admin.register(Stream)
class StreamAdmin(BaseModelAdmin):
    list_display = ("name", "account", "state", "health", "records", "next_run_at", "deleted_at")
    list_filter = ("state", ("deleted_at", admin.EmptyFieldListFilter))
    list_select_related = ("account", "progress")
    search_fields = ("account__slug__startswith", "name__startswith")
    search_ids = ("pk", "account_id")
    search_help_text = "A whole id, of the stream or its account, or the start of a name or slug."
    exclude = ("secrets",)
    readonly_fields = ("health", "records", "next_run_at")
    actions = ("start", "stop", "run")

    @admin.display(description="health")
    def health(self, stream: Stream) -> str:
        return health(stream.progress).label

    @admin.display(description="records")
    def records(self, stream: Stream) -> int:
        return stream.progress.record_count

    @admin.display(description="next run")
    def next_run_at(self, stream: Stream) -> str:
        planned = stream.progress.next_run_at
        return f"{planned:%Y-%m-%d %H:%M:%S}" if planned else "-"

    @admin.action(description="Start the chosen streams", permissions=["change"])
    def start(self, request: HttpRequest, streams: "QuerySet[Stream]") -> None:
        self._command(request, streams, commands.start_stream, "is started")

    @admin.action(description="Stop the chosen streams", permissions=["change"])
    def stop(self, request: HttpRequest, streams: "QuerySet[Stream]") -> None:
        self._command(request, streams, commands.stop_stream, "is stopped")

    @admin.action(description="Run the chosen streams now", permissions=["change"])
    def run(self, request: HttpRequest, streams: "QuerySet[Stream]") -> None:
        self._command(request, streams, commands.run_stream, "runs")

    def _command(
        self,
        request: HttpRequest,
        streams: "QuerySet[Stream]",
        command: Callable[..., object],
        done: str,
    ) -> None:
        for stream in streams:
            try:
                command(account_id=stream.account_id, stream_id=stream.id, actor=actor_of(request))
            except DomainError as error:
                self.message_user(request, f"{stream}: {error.detail}", messages.WARNING)
            else:
                self.message_user(request, f"{stream} {done}.")


@admin.register(Run)
class RunAdmin(BaseModelAdmin):
    list_display = (
        "stream",
        "status",
        "trigger",
        "started_at",
        "ended_at",
        "pages",
        "records_new",
        "records_changed",
        "records_deleted",
        "records_rejected",
    )
    list_filter = ("status", "trigger")
    list_select_related = ("stream",)
    search_ids = ("pk", "stream_id")
    search_help_text = "A whole id, of the run or its stream."
