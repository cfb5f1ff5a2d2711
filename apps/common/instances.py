"""Objects of models, made as `pickle` makes them: past `__init__`, which takes longer than all else that is done
to an order before it is stored. For hot paths alone (docs/adr/0031)."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, models
from django.db.models.base import ModelState

M = TypeVar("M", bound=models.Model)


def made(model: type[M], values: Mapping[str, Any]) -> M:
    """A new object of these columns, with its model's defaults for the rest."""
    fixed, called = _defaults(model)
    one = model.__new__(model)
    one.__dict__.update(fixed)
    for name, default in called:
        if name not in values:
            one.__dict__[name] = default()
    one.__dict__.update(values)
    one._state = ModelState()
    return one


def loaded(model: type[M], values: Mapping[str, Any]) -> M:
    """The object of a row as it was read; columns that were not read are deferred."""
    one = model.__new__(model)
    one.__dict__.update(values)
    state = one._state = ModelState()
    state.adding, state.db = False, DEFAULT_DB_ALIAS
    return one


@cache
def _defaults(
    model: type[models.Model],
) -> tuple[dict[str, Any], tuple[tuple[str, Callable[[], Any]], ...]]:
    """By column: the defaults that are the same for each object, and those that are made anew."""
    fixed: dict[str, Any] = {}
    called: list[tuple[str, Callable[[], Any]]] = []
    for field in model._meta.concrete_fields:
        if callable(field.default):
            called.append((field.attname, field.get_default))
        else:
            fixed[field.attname] = field.get_default()
    return fixed, tuple(called)
