"""Actions on many objects: how far each has come, what was refused and why."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, URLPattern, path, reverse
from unfold.enums import ActionVariant

from apps.common import bulk
from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin
from apps.common.admin.panels import request_link, shown_actor
from apps.common.admin.shown import NOTHING, link, moment, state
from apps.common.errors import Conflict
from apps.common.models import BulkAction, BulkItem, BulkOutcome, BulkState

MAX_SHOWN = 100


@admin.register(BulkAction)
class BulkActionAdmin(BaseModelAdmin):
    list_display = (
        "title",
        state("state"),
        "total",
        "done",
        "refused",
        "by",
        moment("created_at", "asked for"),
        moment("ended_at"),
    )
    search_ids = ("pk",)
    search_help_text = "The whole id of an action."
    fields = (("title", "by"), ("given", "asked_in"), ("created_at", "id"))
    readonly_fields = ("by", "given", "asked_in")
    change_form_outer_before_template = "admin/acting/progress.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.show_progress)
        name = "common_bulkaction_progress"
        own: list[URLPattern] = [path("<uuid:pk>/progress/", view, name=name)]
        return own + super().get_urls()

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context |= _progress(context["original"])
        return super().render_change_form(request, context, *args, **kwargs)

    def show_progress(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """The part of the page that renews itself while there is more to do."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        action = BulkAction.objects.filter(pk=pk).first()
        if action is None:
            raise Http404
        return render(request, "admin/acting/progress.html", _progress(action))

    @admin.display
    def by(self, action: BulkAction) -> str:
        return shown_actor(action.actor)

    @admin.display(description="with")
    def given(self, action: BulkAction) -> str:
        inputs = action.inputs.items()
        return ", ".join(f"{name}: {value}" for name, value in inputs if value) or NOTHING

    @admin.display(description="request")
    def asked_in(self, action: BulkAction) -> str:
        return request_link(action.request_id, action.created_at)

    @Action(
        "Cancel",
        "No more of it is done. What is done already stays.",
        icon="cancel",
        variant=ActionVariant.DANGER,
        when=lambda action: action.state == BulkState.RUNNING,
    )
    def cancel(self, action: BulkAction, actor: Actor) -> str:
        if not bulk.cancel(action_id=action.pk):
            raise Conflict("It had ended already.")
        return f"{action}: no more of it is done."


def _progress(action: BulkAction) -> dict[str, Any]:
    refused = action.items.filter(outcome=BulkOutcome.REFUSED).order_by("id")[:MAX_SHOWN]
    ended = action.done + action.refused
    return {
        "bulk": action,
        "ended": ended,
        "left": action.total - ended,
        "percent": 100 * ended // action.total if action.total else 100,
        "refused_table": {
            "headers": ["object", "why it was refused"],
            "rows": [[_object(action, item), item.detail] for item in refused],
        },
        "unshown": max(action.refused - MAX_SHOWN, 0),
    }


def _object(action: BulkAction, item: BulkItem) -> str:
    app, model, _ = action.operation.split(".")
    try:
        return link(reverse(f"admin:{app}_{model}_change", args=[item.object_id]), item.object_id)
    except NoReverseMatch:
        return item.object_id
