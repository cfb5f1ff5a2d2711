"""Events to test with, and handlers that are subscribed for one test alone."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol
from uuid import UUID

import pytest
from django.db import transaction

from apps.common import clock
from apps.common.actor import Actor, ActorKind
from apps.common.ids import uuid7
from apps.common.schemas import free_object
from apps.events.catalogue import EventType
from apps.events.models import Event
from apps.events.publishing import Draft, draft, publish
from apps.events.subscriptions import Handler, _subscriptions, subscribe

ACTOR = Actor(kind=ActorKind.USER, id="7", label="tester", request_id="req-1")


def drafted(account_id: UUID | None = None, type: str = "test.happened", **options: Any) -> Draft:
    """An event that is ready to be published; of a type that is in no catalogue."""
    kind = EventType(name=type, summary="", object=free_object(), changes="changes" in options)
    options = {"subject": uuid7(), "object": {}, "actor": ACTOR, "at": clock.now(), **options}
    return draft(kind, account_id=account_id or uuid7(), **options)


@transaction.atomic
def happen(account_id: UUID | None = None, **options: Any) -> UUID:
    """Publish an event in a transaction of its own; returns its id."""
    event = drafted(account_id, **options)
    publish(event)
    return event.id


class Subscribe(Protocol):
    def __call__(
        self, handler: Handler, *, types: Sequence[str] = ..., name: str = ...
    ) -> None: ...


@pytest.fixture
def subscribed() -> Iterator[Subscribe]:
    """Subscribes handlers until the test ends; to `test.*` unless told otherwise."""
    names: list[str] = []

    def register(
        handler: Handler, *, types: Sequence[str] = ("test.*",), name: str = "tests.one"
    ) -> None:
        subscribe(name, types=types)(handler)
        names.append(name)

    yield register
    for name in names:
        del _subscriptions[name]


def collecting(into: list[UUID]) -> Callable[[Sequence[Event]], None]:
    """A handler that notes the ids of what it gets."""
    return lambda events: into.extend(event.id for event in events)
