"""Filters of lists that stay quick however long the table is."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.common import clock
from apps.common.ids import uuid7_floor

NEWEST = 10_000


class MadeFilter(admin.SimpleListFilter):
    """By the ids, which tell when a row was made and in which partition it is."""

    title = "time"
    parameter_name = "made"
    spans = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, f"The last {name}") for name in self.spans]

    def queryset(self, request: HttpRequest, rows: "QuerySet[Any]") -> "QuerySet[Any] | None":
        span = self.spans.get(self.value() or "")
        return rows.filter(pk__gte=uuid7_floor(clock.now() - span)) if span else None


class DeletedFilter(admin.SimpleListFilter):
    """Deleted objects are shown apart: the indexes of lists leave them out."""

    title = "deleted"
    parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Deleted ones")]

    def queryset(self, request: HttpRequest, rows: "QuerySet[Any]") -> "QuerySet[Any]":
        return rows.filter(deleted_at__isnull=self.value() != "yes")


Choices = Sequence[tuple[str, str]]


def newest(field: str, choices: Choices | Callable[[], Choices]) -> type[admin.SimpleListFilter]:
    """By the value of a column that has no index of its own: among the newest 10,000 rows, or among all
    of those that a search finds."""

    class Newest(admin.SimpleListFilter):
        title = f"{field.replace('_', ' ')}, of the newest {NEWEST:,}"
        parameter_name = field

        def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
            return choices() if callable(choices) else choices

        def queryset(self, request: HttpRequest, rows: "QuerySet[Any]") -> "QuerySet[Any] | None":
            if self.value() not in dict(self.lookup_choices):
                return None
            chosen: QuerySet[Any] = rows.filter(**{field: self.value()})
            return chosen if request.GET.get("q") else _among_newest(chosen)

    return Newest


def _among_newest(rows: "QuerySet[Any]") -> "QuerySet[Any]":
    keys = rows.model._default_manager.order_by("-pk").values_list("pk", flat=True)
    oldest = keys[NEWEST : NEWEST + 1].first()
    return rows if oldest is None else rows.filter(pk__gt=oldest)
