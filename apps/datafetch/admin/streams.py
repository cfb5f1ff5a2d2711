"""Streams: commands, previews, and what they have fetched."""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from unfold.enums import ActionVariant

from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin
from apps.common.admin.filters import DeletedFilter
from apps.common.admin.panels import Panel
from apps.common.admin.shown import age, label, link, list_of, moment, page_of, related, state
from apps.common.errors import DomainError
from apps.datafetch import selectors
from apps.datafetch.admin.previewing import PreviewForm
from apps.datafetch.admin.runs import figures
from apps.datafetch.enums import State
from apps.datafetch.events import health, records_per_second
from apps.datafetch.models import Consumer, Record, Rejected, Run, Stream
from apps.datafetch.services import commands, consumers
from apps.datafetch.services.previewing import Preview, preview
from apps.datafetch.services.remapping import remap_stream

SHOWN = 10
RECORDS_SHOWN = 50


def _is(wanted: State) -> Callable[[Stream], bool]:
    return lambda stream: stream.deleted_at is None and stream.state == wanted


@admin.register(Stream)
class StreamAdmin(BaseModelAdmin):
    list_display = (
        "name",
        related("account"),
        state("state"),
        "health",
        "records",
        "next_run_at",
        moment("created_at", "made"),
    )
    list_filter = ("state", DeletedFilter)
    list_select_related = ("account", "progress")
    search_fields = ("name__startswith",)
    search_ids = ("pk", "account_id")
    search_accounts = ("account",)
    search_help_text = "A whole id, of the stream or its account, or the start of a name or slug."
    exclude = ("secrets",)
    readonly_fields = ("health", "records", "next_run_at")
    change_form_outer_before_template = "admin/datafetch/progress.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own: list[URLPattern] = [
            path("<uuid:pk>/preview/", view(self.preview_view), name="datafetch_stream_preview"),
            path("<uuid:pk>/records/", view(self.records_view), name="datafetch_stream_records"),
        ]
        return own + super().get_urls()

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Stream]":
        streams: QuerySet[Stream] = super().get_queryset(request)
        return streams.defer("secrets")

    def subject_of(self, row: Stream) -> UUID:
        return row.pk

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        stream: Stream = context["original"]
        run = stream.progress.last_run
        if run is not None:
            context |= figures(run)
        pages = [("Records", "table_rows", "records")]
        if stream.deleted_at is None and self.has_change_permission(request):
            pages.append(("Preview", "preview", "preview"))
        context["actions_detail"] = [
            _page_button(stream, title, icon, name) for title, icon, name in pages
        ]
        return super().render_change_form(request, context, *args, **kwargs)

    def get_panels(self, request: HttpRequest, row: Stream) -> Iterable[Panel]:
        query = f"q={row.pk}"
        recent = selectors.runs(row).order_by("-id")[:SHOWN]
        yield Panel(
            "Runs",
            ("started", "what", "state", "pages", "new", "changed", "deleted", "records/s"),
            [_run_row(run) for run in recent],
            list_of(Run, query),
        )
        readers = selectors.consumers(row).order_by("-pk")[:SHOWN]
        yield Panel(
            "Consumers",
            ("name", "offset", "behind", "moved"),
            [
                (
                    link(page_of(one), one.name),
                    one.offset,
                    consumers.standing(row, one).lag,
                    age(one.committed_at),
                )
                for one in readers
            ],
            list_of(Consumer, query),
        )
        rejected = selectors.rejected(row).order_by("-pk")[:SHOWN]
        yield Panel(
            "Rejected records",
            ("fetched", "why", "detail"),
            [(link(page_of(one), age(one.created_at)), one.code, one.detail) for one in rejected],
            list_of(Rejected, query),
        )

    def preview_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Look at the first page by the stream's configuration, or by what the form makes of it."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        stream = get_object_or_404(selectors.undeleted(), pk=pk)
        form = PreviewForm(request.POST or None, initial=PreviewForm.of(stream))
        seen = None
        if request.method == "POST" and (draft := form.applied_to(stream)):
            seen = self._seen(request, draft, form.cleaned_data["records"])
        context = {
            **self.admin_site.each_context(request),
            "title": f"Preview: {stream}",
            "opts": self.opts,
            "form": form,
            "back_url": page_of(stream),
            "seen": seen,
            "tables": form.tables(seen) if seen else [],
        }
        return render(request, "admin/datafetch/preview.html", context)

    def _seen(self, request: HttpRequest, draft: Stream, most: int) -> Preview | None:
        try:
            return preview(draft, most=most)
        except DomainError as error:
            self.message_user(request, error.detail, messages.WARNING)
            return None

    def records_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """The newest versions of records, further back from an offset on, or all of one key."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        stream = get_object_or_404(self.get_queryset(request), pk=pk)
        key = request.GET.get("key", "").replace("\0", "")  # no key has one
        before = request.GET.get("before", "")
        end = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None
        found = selectors.newest_versions(stream, key=key, before=end, most=RECORDS_SHOWN)
        query = {"key": key} if key else {}
        older = urlencode({**query, "before": found[-1].offset}) if found else ""
        context = {
            **self.admin_site.each_context(request),
            "title": f"Records: {stream}",
            "opts": self.opts,
            "key": key,
            "table": {
                "headers": ["offset", "key", "change", "fetched", "superseded", "data"],
                "rows": [_record_row(one) for one in found],
            },
            "older": older if len(found) == RECORDS_SHOWN else "",
            "back_url": page_of(stream),
        }
        return render(request, "admin/datafetch/records.html", context)

    @admin.display(description="health")
    def health(self, stream: Stream) -> str:
        return label(health(stream.progress).value)

    @admin.display(description="records")
    def records(self, stream: Stream) -> int:
        return stream.progress.record_count

    @admin.display(description="next run")
    def next_run_at(self, stream: Stream) -> str:
        return age(stream.progress.next_run_at)

    @Action(
        "Start",
        "It runs at once and then by its schedule.",
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        when=_is(State.STOPPED),
    )
    def start(self, stream: Stream, actor: Actor) -> str:
        commands.start_stream(account_id=stream.account_id, stream_id=stream.pk, actor=actor)
        return f"{stream} is started."

    @Action(
        "Stop",
        "A run in progress ends at its next page; what it has read is kept.",
        icon="stop",
        variant=ActionVariant.DANGER,
        when=lambda stream: stream.state == State.RUNNING or stream.progress.run_id is not None,
    )
    def stop(self, stream: Stream, actor: Actor) -> str:
        commands.stop_stream(account_id=stream.account_id, stream_id=stream.pk, actor=actor)
        return f"{stream} is stopped."

    @Action(
        "Run now",
        "Once, whether it is started or not; a run in progress goes on.",
        icon="sync",
        when=lambda stream: stream.deleted_at is None,
    )
    def run(self, stream: Stream, actor: Actor) -> str:
        commands.run_stream(account_id=stream.account_id, stream_id=stream.pk, actor=actor)
        return f"{stream} runs."

    @Action(
        "Apply mapping to kept pages",
        "Pages whose raw bodies are kept are read again by the present mapping; nothing is fetched. Records "
        "that come out otherwise get new versions, which consumers then read.",
        icon="alt_route",
        when=lambda stream: stream.deleted_at is None and bool(stream.primary_key),
    )
    def remap(self, stream: Stream, actor: Actor) -> str:
        kept = selectors.kept_pages(stream)
        remap_stream(account_id=stream.account_id, stream_id=stream.pk, actor=actor)
        return f"{stream}: {kept.pages} of {kept.known} pages are kept and are read again."


def _page_button(stream: Stream, title: str, icon: str, name: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "variant": ActionVariant.DEFAULT,
        "attrs": {},
        "dialog": None,
        "path": reverse(f"admin:datafetch_stream_{name}", args=[stream.pk]),
    }


def _run_row(run: Run) -> tuple[object, ...]:
    return (
        link(page_of(run), age(run.started_at)),
        run.trigger,
        label(run.status),
        run.pages,
        run.records_new,
        run.records_changed,
        run.records_deleted,
        records_per_second(run),
    )


def _record_row(record: Record) -> tuple[object, ...]:
    data: str = record.excerpt  # type: ignore[attr-defined]  # by newest_versions
    return (
        record.offset,
        link(f"?{urlencode({'key': record.key})}", record.key),
        label(record.change),
        age(record.fetched_at),
        age(record.superseded_at),
        data if len(data) < selectors.EXCERPT else f"{data}…",
    )
