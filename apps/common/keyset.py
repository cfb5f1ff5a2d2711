"""Lists read in pieces, newest first, each from one place of one index on.

A list is ordered by its id, which is a UUIDv7, unless its queryset says by which index it is to be read:
by ordering by the columns of that index. Those that ascend have one value in the whole list; those that
descend are the id, under one name or several (a joined row's reference is one). `OneOf` keeps the planner
from leaving out the former as what they are, and from then walking another index past all the rows of
others, which is cheap by its statistics and endless for a list that had nothing new for long.
"""

from typing import TypeVar, cast
from uuid import UUID

from django.db.models import BooleanField, Func, Model, QuerySet

M = TypeVar("M", bound=Model)


class OneOf(Func):
    """`OneOf("storefront_id", Value([id]))`: equal to one of an array. Said so also of a single value,
    PostgreSQL still orders by the column."""

    template = "%(expressions)s)"
    arg_joiner = " = ANY("
    output_field = BooleanField()


def older(rows: "QuerySet[M]", than: UUID | None = None) -> "QuerySet[M]":
    """The rows after `than`, or all, newest first."""
    order = _order(rows)
    if than is not None:
        rows = rows.filter(**{f"{name}__lt": than for name in _ids(order)})
    return rows.order_by(*order)


def newer(rows: "QuerySet[M]", than: UUID) -> "QuerySet[M]":
    """The rows before `than`, the nearest first."""
    order = _order(rows)
    rows = rows.filter(**{f"{name}__gt": than for name in _ids(order)})
    return rows.order_by(*(name[1:] if name[0] == "-" else f"-{name}" for name in order))


def _order(rows: "QuerySet[M]") -> tuple[str, ...]:
    return cast("tuple[str, ...]", rows.query.order_by) or ("-pk",)


def _ids(order: tuple[str, ...]) -> list[str]:
    return [name[1:] for name in order if name[0] == "-"]
