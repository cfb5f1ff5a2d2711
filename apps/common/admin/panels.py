"""Panels: tables below the fields of an object's page, with what happened to it and because of it.

A page makes its own (`get_panels`). Panels that look across apps are registered here by who knows them and
are shown on each page that names a subject (`subject_of`): so no business app knows the others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.common.admin.shown import NOTHING, age, changes, label, link

LIMIT = 10
LONGEST_TIMELINE = 50


class Panel(NamedTuple):
    """A table. `more` is the address of the whole list; `note` is shown when there are no rows."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[object]]
    more: str = ""
    note: str = "Nothing yet."

    @property
    def table(self) -> dict[str, Any]:
        """As unfold's table wants it."""
        return {"headers": self.headers, "rows": [list(row) for row in self.rows]}


class Person(NamedTuple):
    """Who an actor is, for people: the name of a key or a user, and its page."""

    name: str
    url: str


# The whole of a subject's story across apps: `(request, subject)` -> a panel, or None for who may not see it.
SubjectPanel = Callable[[HttpRequest, UUID], Panel | None]
across: list[SubjectPanel] = []

# Ids of actors of one kind -> the people they are; registered by who knows them.
people: dict[str, Callable[[Iterable[str]], Mapping[str, Person]]] = {}


class Entry(Protocol):
    """One change: a row of an object's history."""

    at: Any
    type: Any
    actor: Any
    changes: Any
    request_id: Any


def timeline(entries: Iterable[Entry], more: str = "") -> Panel:
    """What changed, newest first, by whom and in which request."""
    listed = list(entries)
    known = name_actors(entry.actor for entry in listed)
    rows = [
        (
            age(entry.at),
            label(entry.type),
            shown_actor(entry.actor, known),
            changes(entry.changes),
            request_link(entry.request_id, entry.at),
        )
        for entry in listed
    ]
    headers = ("when", "what", "who", "changes", "request")
    return Panel("Timeline", headers, rows, more)


def name_actors(actors: Iterable[Mapping[str, str]]) -> dict[tuple[str, str], Person]:
    """Who they are, by kind and id: one query for each kind."""
    by_kind: dict[str, set[str]] = {}
    for actor in actors:
        by_kind.setdefault(actor.get("kind", ""), set()).add(actor.get("id", ""))
    return {
        (kind, actor_id): person
        for kind, ids in by_kind.items()
        if kind in people
        for actor_id, person in people[kind](ids).items()
    }


def shown_actor(
    actor: Mapping[str, str], known: Mapping[tuple[str, str], Person] | None = None
) -> SafeString | str:
    """The actor with its name and a link, where it is known; what was written down of it, else."""
    if known is None:
        known = name_actors([actor])
    person = known.get((actor.get("kind", ""), actor.get("id", "")))
    if person is None:
        return actor.get("label") or NOTHING
    return link(person.url, person.name)


# How far apart the first and the last event of a request can be.
AROUND = timedelta(minutes=2)


def request_link(request_id: str, at: datetime) -> SafeString | str:
    """A link to all events that share the request: those around that time, which an index finds."""
    if not request_id:
        return NOTHING
    query = request_query(request_id, at)
    url = f"{reverse('admin:events_event_changelist')}?{query}"
    text = request_id if len(request_id) <= 13 else f"{request_id[:4]}…{request_id[-8:]}"
    return format_html('<span title="{}">{}</span>', request_id, link(url, text))


def request_query(request_id: str, at: datetime) -> str:
    """What narrows the list of events to those of the request."""
    return urlencode({"request": f"{at.isoformat()} {request_id}"})


def across_of(request: HttpRequest, subject: UUID) -> list[Panel]:
    """The panels of others about a subject."""
    found = [panel(request, subject) for panel in across]
    return [panel for panel in found if panel is not None]


def may_view(request: HttpRequest, model: type[Model]) -> bool:
    meta = model._meta
    return request.user.has_perm(f"{meta.app_label}.view_{meta.model_name}")
