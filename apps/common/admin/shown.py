"""How values look in the back office: the same word in the same colour, money with its currency, moments as
their age with the exact time on hover."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from apps.common.money import display

Column = Callable[[Any], Any]

MINUTE, HOUR, DAY = 60, 3600, 86_400
LONGEST_VALUE = 80
NOTHING = "-"

_COLOURS = {
    "success": "accepted completed delivered enabled ok paid running sent sold succeeded synced",
    "info": "active available confirmed issued pending shipped waits",
    "warning": "conflict countered failing overdue parked paused returned",
    "danger": "disabled failed refused rejected",
}
COLOUR_OF = {word: colour for colour, words in _COLOURS.items() for word in words.split()}


def label(word: str, title: str = "") -> SafeString:
    """A state as a coloured label."""
    context = {"type": COLOUR_OF.get(word, ""), "text": word, "label_title": title}
    return mark_safe(render_to_string("unfold/helpers/label.html", context))  # noqa: S308 - escaped by the template


def age(moment: datetime | None) -> SafeString | str:
    """`3 min ago`, or `in 2 h`, with the exact time in UTC on hover."""
    if moment is None:
        return NOTHING
    return format_html(
        '<time datetime="{}" title="{} UTC" class="whitespace-nowrap">{}</time>',
        moment.isoformat(),
        f"{moment:%Y-%m-%d %H:%M:%S}",
        # By this machine's clock: to ask PostgreSQL for each cell would cost more than it tells.
        _distance((timezone.now() - moment).total_seconds()),
    )


def link(url: str, text: object) -> SafeString:
    return format_html('<a href="{}" class="{}">{}</a>', url, LINK, text)


LINK = "text-primary-600 dark:text-primary-500 hover:underline"


def page_of(row: Model) -> str:
    """The address of an object's page."""
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])


def list_of(model: type[Model], query: str = "") -> str:
    """The address of a model's list, narrowed by `query` (`q=…`)."""
    meta = model._meta
    path = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
    return f"{path}?{query}" if query else path


def changes(of: Mapping[str, Any]) -> SafeString | str:
    """`{field: [old, new]}` as lines."""
    lines = [(name.replace("_", " "), *map(_short, pair)) for name, pair in of.items()]
    if not lines:
        return NOTHING
    return format_html_join(mark_safe("<br>"), "{}: {} → {}", lines)


def state(field: str, description: str = "") -> Column:
    """A column: the state in `field` as a label."""

    @admin.display(description=description or field.replace("_", " "))
    def column(row: Any) -> str:
        word = getattr(row, field)
        return label(str(word)) if word else NOTHING

    return _named(column, field)


def moment(field: str, description: str = "") -> Column:
    """A column: how long ago the moment in `field` is."""

    @admin.display(description=description or field.removesuffix("_at").replace("_", " "))
    def column(row: Any) -> str:
        return age(getattr(row, field))

    return _named(column, field)


def money(field: str, description: str = "") -> Column:
    """A column: the amount in `field`, in the object's currency."""

    @admin.display(description=description or field.replace("_", " "))
    def column(row: Any) -> str:
        amount = getattr(row, field)
        if amount is None:
            return NOTHING
        return format_html(
            '<span class="whitespace-nowrap tabular-nums">{}</span>', display(amount, row.currency)
        )

    return _named(column, field)


def related(field: str, description: str = "") -> Column:
    """A column: the object that `field` refers to, with a link to its page."""

    @admin.display(description=description or field.replace("_", " "))
    def column(row: Any) -> str:
        other = getattr(row, field)
        return NOTHING if other is None else link(page_of(other), other)

    return _named(column, field)


def _named(column: Column, field: str) -> Column:
    column.__name__ = field  # the class of the column's cells
    return column


def _distance(seconds: float) -> str:
    size = abs(seconds)
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (1, "s")):
        if size >= unit:
            shown = f"{int(size // unit):,} {name}"
            return f"{shown} ago" if seconds > 0 else f"in {shown}"
    return "now"


def _short(value: Any) -> str:
    text = _plain(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _plain(value: Any) -> str:
    """What JSON holds, as people write it; ids of parts tell them nothing."""
    if isinstance(value, dict):
        told = {name: one for name, one in value.items() if name != "id" and one is not None}
        return ", ".join(f"{name.replace('_', ' ')} {_plain(one)}" for name, one in told.items())
    if isinstance(value, list):
        return "; ".join(map(_plain, value)) or "nothing"
    return "nothing" if value is None else str(value)
