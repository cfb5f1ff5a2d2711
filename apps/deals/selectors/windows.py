"""The window on a list: which part of it a page needs."""

from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a list that a page needs: `limit` rows on from the row `beyond` (None: the newest),
    towards older ones, or `backwards` towards newer ones."""

    limit: int
    beyond: UUID | None = None
    backwards: bool = False

    def of(self, rows: "QuerySet[M]") -> "QuerySet[M]":
        if self.beyond is not None:
            rows = rows.filter(**{f"pk__{'gt' if self.backwards else 'lt'}": self.beyond})
        return rows.order_by("pk" if self.backwards else "-pk")[: self.limit]
