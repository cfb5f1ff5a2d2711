"""Handlers as durable consumers: each has its own cursor in the log, and only stops itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from apps.events.models import Event
from apps.events.patterns import matches

Handler = Callable[[Sequence[Event]], None]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A handler, the name of its cursor, and the types it wants."""

    name: str
    types: tuple[str, ...]
    handler: Handler

    def wanted(self, events: Sequence[Event]) -> list[Event]:
        return [event for event in events if matches(self.types, event.type)]


_subscriptions: dict[str, Subscription] = {}


def subscribe(name: str, *, types: Sequence[str]) -> Callable[[Handler], Handler]:
    """Register a handler under a name that stays (its cursor is stored under it).

    The handler gets events in the order of their positions, in one transaction with the cursor's move:
    what it writes happens exactly once. It must not talk to the network; for that it writes a row that
    some reconciler owes, and wakes it on commit.
    """

    def register(handler: Handler) -> Handler:
        if name in _subscriptions:
            raise ValueError(f"{name} is subscribed twice")
        _subscriptions[name] = Subscription(name=name, types=tuple(types), handler=handler)
        return handler

    return register


def subscriptions() -> list[Subscription]:
    """Every subscription, in the order of registration."""
    return list(_subscriptions.values())
