"""The list of a history: all of it, or of one object."""

from django.contrib import admin

from apps.common.admin.filters import MadeFilter
from apps.common.admin.pages import BaseModelAdmin
from apps.common.admin.panels import Entry, request_link, shown_actor
from apps.common.admin.shown import Column, changes, label, moment


class HistoryAdmin(BaseModelAdmin):
    """Of a model that is an Entry."""

    list_filter = (MadeFilter,)

    @staticmethod
    def columns(of: Column) -> tuple[str | Column, ...]:
        """Those of the list; `of` shows the object that was changed."""
        return (moment("at", "when"), "what", of, "by", "changed", "asked_in")

    @admin.display
    def what(self, entry: Entry) -> str:
        return label(entry.type)

    @admin.display
    def by(self, entry: Entry) -> str:
        return shown_actor(entry.actor, {})

    @admin.display(description="changes")
    def changed(self, entry: Entry) -> str:
        return changes(entry.changes)

    @admin.display(description="request")
    def asked_in(self, entry: Entry) -> str:
        return request_link(entry.request_id, entry.at)
