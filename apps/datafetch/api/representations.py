"""Answers that are no event's object: records."""

from typing import Any

from apps.common.clock import rfc3339
from apps.common.schemas import component, enum, free_object, integer, obj, string, timestamp
from apps.datafetch.enums import Change
from apps.datafetch.models import Record

RECORD = component(
    "StreamRecord",
    obj(
        {
            "offset": integer("Its place in the stream, from 1 on."),
            "key": string("What tells the record from others."),
            "data": free_object("Of a deleted one, the last that was there."),
            "fetched_at": timestamp(),
            "change": enum(Change.values),
        }
    ),
    example={
        "offset": 271,
        "key": "1042",
        "data": {"id": 1042, "status": "paid", "total": 4999},
        "fetched_at": "2026-11-21T09:30:02.000000Z",
        "change": "changed",
    },
)


def record_object(record: Record, data: Any) -> dict[str, Any]:
    """A version of a record; `data` stands for its JSON, however the answer holds that."""
    return {
        "offset": record.offset,
        "key": record.key,
        "data": data,
        "fetched_at": rfc3339(record.fetched_at),
        "change": record.change,
    }
