"""The catalogue of event types: what can happen, and the JSON Schema of what is said about it."""

from dataclasses import dataclass

from apps.common.schemas import Schema, enum, free_object, integer, obj, resolved, timestamp, uuid


@dataclass(frozen=True, slots=True)
class EventType:
    """A kind of event. `object` describes `data.object`; `changes` says whether `data.changes` is
    there, or, as a schema, what it is like."""

    name: str
    summary: str
    object: Schema
    changes: Schema | bool = False
    version: int = 1

    def schema(self) -> Schema:
        """The JSON Schema of the body that is stored, signed and sent, complete in itself."""
        return resolved(self.body())

    def body(self) -> Schema:
        """The same, with references to the components of OpenAPI."""
        data = {"object": self.object}
        if self.changes:
            data["changes"] = (
                self.changes
                if isinstance(self.changes, dict)
                else free_object('What changed: {"field": [old, new]}.')
            )
        return obj(
            {
                "id": uuid("Also the webhook-id; the same for every attempt."),
                "type": enum([self.name]),
                "version": integer("Of this type's schema."),
                "timestamp": timestamp("When it happened."),
                "account_id": uuid("Whose event it is."),
                "data": obj(data),
            }
        )


_types: dict[str, EventType] = {}


def define(name: str, summary: str, object: Schema, *, changes: Schema | bool = False) -> EventType:
    """Add a type; each app defines its own in its `events.py`."""
    if name in _types:
        raise ValueError(f"{name} is defined twice")
    _types[name] = EventType(name=name, summary=summary, object=object, changes=changes)
    return _types[name]


def event_types() -> list[EventType]:
    """Every type, by name."""
    return [_types[name] for name in sorted(_types)]
