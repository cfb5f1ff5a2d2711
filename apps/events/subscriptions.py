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
    is_first: bool = False

    def wants(self, type: str) -> bool:
        return matches(self.types, type)

    def wanted(self, events: Sequence[Event]) -> list[Event]:
        return [event for event in events if self.wants(event.type)]


_subscriptions: dict[str, Subscription] = {}


def subscribe(
    name: str, *, types: Sequence[str], is_first: bool = False
) -> Callable[[Handler], Handler]:
    """Register a handler under a name that stays (its cursor is stored under it).

    The handler gets events in the order of their positions, in one transaction with the cursor's move:
    what it writes happens exactly once. It must not talk to the network; for that it writes a row that
    some reconciler owes, and wakes it on commit. `is_first` is for one that somebody waits for.
    """

    def register(handler: Handler) -> Handler:
        if name in _subscriptions:
            raise ValueError(f"{name} is subscribed twice")
        _subscriptions[name] = Subscription(name, tuple(types), handler, is_first)
        return handler

    return register


def subscriptions() -> list[Subscription]:
    """Every subscription: those that come first, then the others, in the order of registration."""
    return sorted(_subscriptions.values(), key=lambda each: not each.is_first)
