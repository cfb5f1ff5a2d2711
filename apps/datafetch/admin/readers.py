"""Consumers, schemas and records that could not be taken in."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin
from apps.common.admin.shown import moment, related
from apps.datafetch.enums import Edge
from apps.datafetch.models import Consumer, Rejected, SchemaVersion
from apps.datafetch.services import consumers


class SeekForm(forms.Form):
    """Where a consumer is set to: one of the three."""

    to = forms.ChoiceField(
        required=False,
        choices=[("", "at an offset or a time"), *Edge.choices],
        widget=UnfoldAdminSelectWidget,
    )
    offset = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=2**63 - 1,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Of the last record that counts as read.",
    )
    time = forms.DateTimeField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="In UTC, as 2026-11-21 09:30: it reads what was fetched then or later.",
    )

    def clean_time(self) -> datetime | None:
        given: datetime | None = self.cleaned_data["time"]
        return given.replace(tzinfo=UTC) if given else None

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        given = [name for name, value in cleaned.items() if value not in (None, "")]
        if not self.errors and len(given) != 1:
            raise forms.ValidationError("Say one of the three.")
        return cleaned


@admin.register(Consumer)
class ConsumerAdmin(BaseModelAdmin):
    list_display = ("name", related("stream"), "offset", "lag", moment("committed_at", "moved"))
    list_select_related = ("stream__progress",)
    search_fields = ("name__startswith",)
    search_ids = ("pk", "stream_id")
    search_help_text = "A whole id, of the consumer or its stream, or the start of a name."
    readonly_fields = ("lag",)

    @admin.display(description="lag")
    def lag(self, consumer: Consumer) -> int:
        return consumers.standing(consumer.stream, consumer).lag

    @Action(
        "Seek",
        "It goes on reading from there: earlier records come again, those skipped do not come.",
        icon="fast_rewind",
        form=SeekForm,
    )
    def seek(
        self,
        consumer: Consumer,
        _actor: Actor,
        to: str = "",
        offset: int | None = None,
        time: datetime | None = None,
    ) -> str:
        stream = consumer.stream
        who: dict[str, Any] = {
            "account_id": stream.account_id,
            "stream_id": stream.pk,
            "name": consumer.name,
        }
        if offset is not None:
            moved, lag = consumers.commit(**who, offset=offset)
        else:
            moved, lag = consumers.seek(**who, to=time or Edge(to))
        return f"{moved} is at {moved.offset}, {lag} behind."


@admin.register(SchemaVersion)
class SchemaVersionAdmin(BaseModelAdmin):
    list_display = (related("stream"), "number", moment("created_at", "found"))
    list_select_related = ("stream",)
    search_ids = ("pk", "stream_id")
    search_help_text = "A whole id, of the version or its stream."
    exclude = ("shape",)


@admin.register(Rejected)
class RejectedAdmin(BaseModelAdmin):
    list_display = (related("stream"), "code", "detail", moment("created_at", "fetched"))
    list_select_related = ("stream",)
    search_ids = ("pk", "stream_id", "run_id")
    search_help_text = "A whole id, of the record, its stream or its run."
