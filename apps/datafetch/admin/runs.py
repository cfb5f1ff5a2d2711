"""Runs, and how far one in progress has come."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path

from apps.common.admin import BaseModelAdmin
from apps.common.admin.filters import MadeFilter
from apps.common.admin.panels import shown_actor
from apps.common.admin.shown import moment, related, state
from apps.datafetch.events import records_per_second
from apps.datafetch.models import Run


def figures(run: Run) -> dict[str, Any]:
    """For templates/admin/datafetch/progress.html."""
    total = run.checkpoint.get("pages_total")
    return {
        "run": run,
        "records": run.records_new + run.records_changed + run.records_unchanged,
        "rate": records_per_second(run),
        "pages_total": total,
        "percent": min(100 * run.pages // total, 100) if total else None,
    }


@admin.register(Run)
class RunAdmin(BaseModelAdmin):
    list_display = (
        related("stream"),
        state("status"),
        "trigger",
        moment("started_at", "started"),
        moment("ended_at", "ended"),
        "pages",
        "records_new",
        "records_changed",
        "records_deleted",
        "records_rejected",
        "rate",
    )
    list_filter = ("status", "trigger", MadeFilter)
    list_select_related = ("stream",)
    search_ids = ("pk", "stream_id")
    search_help_text = "A whole id, of the run or its stream."
    exclude = ("actor",)
    readonly_fields = ("rate", "by")
    change_form_outer_before_template = "admin/datafetch/progress.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.show_progress)
        own: list[URLPattern] = [
            path("<uuid:pk>/progress/", view, name="datafetch_run_progress"),
        ]
        return own + super().get_urls()

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context |= figures(context["original"])
        return super().render_change_form(request, context, *args, **kwargs)

    def show_progress(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """The part of the page that renews itself while the run is in progress."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = Run.objects.filter(pk=pk).first()
        if run is None:
            raise Http404
        return render(request, "admin/datafetch/progress.html", figures(run))

    @admin.display(description="records/s")
    def rate(self, run: Run) -> float:
        return records_per_second(run)

    @admin.display
    def by(self, run: Run) -> str:
        return shown_actor(run.actor)
