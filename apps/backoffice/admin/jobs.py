"""The schedule of background jobs."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.enums import ActionVariant

from apps.common import jobruns
from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin
from apps.common.admin.shown import age, label, moment
from apps.common.errors import Conflict
from apps.common.models import JobRun


@admin.register(JobRun)
class JobRunAdmin(BaseModelAdmin):
    """The schedule, as the code has it, and how each job of it does."""

    list_display = (
        "name",
        "queue",
        "every",
        "is_on",
        moment("started_at", "last run"),
        "took",
        "outcome",
        "next_at_the_latest",
    )
    list_filter = ("is_on", ("error", admin.EmptyFieldListFilter))
    search_fields = ("name__startswith",)
    ordering = ("name",)
    readonly_fields = ("queue", "every", "next_run")

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
        return "" if run.milliseconds is None else f"{run.milliseconds:,} ms"

    @admin.display(description="last outcome")
    def outcome(self, run: JobRun) -> str:
        if run.started_at is None:
            return label("never ran")
        return label("failed", run.error) if run.error else label("ok")

    @admin.display(description="next run, at the latest")
    def next_run(self, run: JobRun) -> datetime | None:
        if not run.is_on or run.started_at is None:
            return None
        return run.started_at + timedelta(seconds=settings.JOBS[run.name].every_seconds)

    @admin.display(description="next run, at the latest")
    def next_at_the_latest(self, run: JobRun) -> Any:
        return age(self.next_run(run))

    @Action(
        "Run now",
        "A worker looks for what is due at once, beside the schedule.",
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        when=lambda run: run.is_on,
    )
    def run_now(self, run: JobRun, actor: Actor) -> str:
        if not jobruns.run_now(JobRun.objects.filter(pk=run.pk)):
            raise Conflict("It is off. Switch it on first.")
        return f"{run.name} was asked to run."

    @Action(
        "Switch on",
        "It runs by the schedule again, within some seconds.",
        icon="toggle_on",
        when=lambda run: not run.is_on,
    )
    def switch_on(self, run: JobRun, actor: Actor) -> str:
        return self._switch(run, is_on=True)

    @Action(
        "Switch off",
        "What it would do waits until it is switched on: nothing is lost, and it grows.",
        icon="toggle_off",
        variant=ActionVariant.DANGER,
        when=lambda run: run.is_on,
    )
    def switch_off(self, run: JobRun, actor: Actor) -> str:
        return self._switch(run, is_on=False)

    def _switch(self, run: JobRun, *, is_on: bool) -> str:
        now = "on" if is_on else "off"
        if not jobruns.switch(JobRun.objects.filter(pk=run.pk), is_on=is_on):
            raise Conflict(f"It is {now} already.")
        return f"{run.name} is {now}."
