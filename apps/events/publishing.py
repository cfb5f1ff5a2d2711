"""Publishing: an event is written in the transaction of the change, or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.db import connection
from psycopg.types.json import Jsonb

from apps.common.actor import Actor
from apps.common.clock import rfc3339
from apps.common.ids import uuid7
from apps.common.wakeups import wake_on_commit
from apps.events.catalogue import EventType
from apps.events.models import Event

DISPATCH = "events.dispatch"

# Stands in a payload for the time, where the function of the database that stores it puts that in. JSON holds
# no such byte itself.
NOW = orjson.Fragment(b'"\x1f"')


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that is complete but not stored; `row()` are the columns of events_event."""

    id: UUID
    type: EventType
    account_id: UUID
    subject: UUID
    payload: bytes
    actor: Actor
    occurred_at: datetime | None
    channel_id: UUID | None
    readers: tuple[UUID, ...]

    def row(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": self.type.name,
            "version": self.type.version,
            "account_id": self.account_id,
            "channel_id": self.channel_id,
            "readers": list(self.readers),
            "subject": self.subject,
            "actor": self.actor.as_json(),
            "request_id": self.actor.request_id,
            "payload": self.payload,
            "occurred_at": self.occurred_at,
        }


def draft(
    type: EventType,
    *,
    account_id: UUID,
    subject: UUID,
    object: Mapping[str, Any],
    actor: Actor,
    at: datetime | None,
    changes: Mapping[str, tuple[Any, Any]] | None = None,
    channel_id: UUID | None = None,
    readers: Sequence[UUID] = (),
) -> Draft:
    """Build an event and the bytes that will be signed, without touching the database.

    `object` is the subject as its least entitled reader may see it, `changes` maps a field to (old,
    new); `at` is the database's time, None where it is not known yet (`NOW`). Readers are accounts other than the event's own.
    """
    event_id = uuid7()
    data: dict[str, Any] = {"object": object}
    if type.changes:
        data["changes"] = changes or {}
    payload = orjson.dumps(
        {
            "id": str(event_id),
            "type": type.name,
            "version": type.version,
            "timestamp": NOW if at is None else rfc3339(at),
            "account_id": str(account_id),
            "data": data,
        }
    )
    return Draft(
        id=event_id,
        type=type,
        account_id=account_id,
        subject=subject,
        payload=payload,
        actor=actor,
        occurred_at=at,
        channel_id=channel_id,
        readers=tuple(readers),
    )


def publish(drafted: Draft) -> None:
    """Store the event with the change that caused it, and wake the dispatcher after the commit.

    Raises RuntimeError outside a transaction: an event and its change must stand or fall together.
    """
    _require_transaction()
    Event.objects.create(**drafted.row())
    wake_on_commit(DISPATCH)


def publish_all(drafted: Sequence[Draft]) -> None:
    """Like `publish`, of the many events that one change makes: stored in this order, in one statement."""
    _require_transaction()
    if not drafted:
        return
    columns = drafted[0].row().keys()
    statement = f'COPY "{Event._meta.db_table}" ({", ".join(columns)}) FROM STDIN'
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for one in drafted:
            row = one.row() | {"actor": Jsonb(one.actor.as_json())}
            copy.write_row([row[name] for name in columns])
    wake_on_commit(DISPATCH)


def _require_transaction() -> None:
    if not connection.in_atomic_block:
        raise RuntimeError("publish() must be called in the transaction of the change.")
