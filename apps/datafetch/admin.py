"""Streams and their runs in the back office. Secrets are shown to nobody."""

from collections.abc import Callable

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.common.admin import BaseModelAdmin, actor_of
from apps.common.errors import DomainError
from apps.datafetch.enums import Edge
from apps.datafetch.events import health
from apps.datafetch.models import Consumer, Rejected, Run, SchemaVersion, Stream
from apps.datafetch.services import commands, consumers


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


@admin.register(Consumer)
class ConsumerAdmin(BaseModelAdmin):
    list_display = ("name", "stream", "offset", "lag", "committed_at")
    list_select_related = ("stream__progress",)
    search_fields = ("name__startswith",)
    search_ids = ("pk", "stream_id")
    search_help_text = "A whole id, of the consumer or its stream, or the start of a name."
    readonly_fields = ("lag",)
    actions = ("from_the_start", "to_the_end")

    @admin.display(description="lag")
    def lag(self, consumer: Consumer) -> int:
        return consumers.standing(consumer.stream, consumer).lag

    @admin.action(description="Let the chosen consumers read all again", permissions=["change"])
    def from_the_start(self, request: HttpRequest, chosen: "QuerySet[Consumer]") -> None:
        self._seek(request, chosen, Edge.EARLIEST)

    @admin.action(
        description="Let the chosen consumers skip all that is there", permissions=["change"]
    )
    def to_the_end(self, request: HttpRequest, chosen: "QuerySet[Consumer]") -> None:
        self._seek(request, chosen, Edge.LATEST)

    def _seek(self, request: HttpRequest, chosen: "QuerySet[Consumer]", to: Edge) -> None:
        for consumer in chosen.select_related("stream"):
            try:
                moved, lag = consumers.seek(
                    account_id=consumer.stream.account_id,
                    stream_id=consumer.stream_id,
                    name=consumer.name,
                    to=to,
                )
            except DomainError as error:
                self.message_user(request, f"{consumer}: {error.detail}", messages.WARNING)
            else:
                self.message_user(request, f"{moved} is at {moved.offset}, {lag} behind.")


@admin.register(SchemaVersion)
class SchemaVersionAdmin(BaseModelAdmin):
    list_display = ("stream", "number", "created_at")
    list_select_related = ("stream",)
    search_ids = ("pk", "stream_id")
    search_help_text = "A whole id, of the version or its stream."
    exclude = ("shape",)


@admin.register(Rejected)
class RejectedAdmin(BaseModelAdmin):
    list_display = ("stream", "code", "detail", "created_at")
    list_select_related = ("stream",)
    search_ids = ("pk", "stream_id", "run_id")
    search_help_text = "A whole id, of the record, its stream or its run."
