"""Answers that are no event's object: records, their schemas, their readers."""

from typing import Any

from apps.common.clock import rfc3339
from apps.common.schemas import (
    component,
    enum,
    free_object,
    integer,
    nullable,
    obj,
    string,
    timestamp,
    uuid,
)
from apps.datafetch.enums import Change
from apps.datafetch.models import Rejected, SchemaVersion, Stream
from apps.datafetch.selectors import Kept, Version
from apps.datafetch.services.consumers import Standing

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

CONSUMER = component(
    "StreamConsumer",
    obj(
        {
            "name": string(),
            "offset": integer("Of the last record that it has committed; 0 for none."),
            "lag": integer("How many offsets come after that."),
            "committed_at": timestamp(),
        }
    ),
    example={
        "name": "warehouse",
        "offset": 250,
        "lag": 21,
        "committed_at": "2026-11-21T09:31:00.000000Z",
    },
)

SCHEMA = component(
    "StreamSchema",
    obj(
        {
            "number": integer("Of the version, from 1 on."),
            "schema": free_object("JSON Schema: each field with the types of its values."),
            "run_id": uuid("The run that found it."),
            "created_at": timestamp(),
        }
    ),
    example={
        "number": 2,
        "schema": {
            "type": "object",
            "properties": {"id": {"type": ["integer"]}, "status": {"type": ["string"]}},
        },
        "run_id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9e01",
        "created_at": "2026-11-21T09:30:02.000000Z",
    },
)

REJECTED = component(
    "StreamRejectedRecord",
    obj(
        {
            "id": uuid(),
            "run_id": uuid(),
            "code": string("Why, in a word."),
            "detail": string(),
            "data": string("The record as JSON, cut to 16 kB."),
            "created_at": timestamp(),
        }
    ),
    example={
        "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9f01",
        "run_id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9e01",
        "code": "no_key",
        "detail": "There is no value at primary_key 'id'.",
        "data": '{"name": "nameless"}',
        "created_at": "2026-11-21T09:30:02.000000Z",
    },
)


KEPT = component(
    "StreamKeptPages",
    obj(
        {
            "stream_id": uuid(),
            "pages": integer("With their raw bodies: a remap reads these."),
            "pages_known": integer("With those whose bodies have been trimmed."),
            "records": integer("On the pages with bodies, doubled ones counted twice."),
            "record_count": integer("Records that the stream has at present."),
            "bytes": integer("Of the bodies, unpacked."),
            "oldest_fetched_at": nullable(timestamp()),
            "newest_fetched_at": nullable(timestamp()),
        }
    ),
    example={
        "stream_id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9d01",
        "pages": 12,
        "pages_known": 40,
        "records": 1150,
        "record_count": 3920,
        "bytes": 1048576,
        "oldest_fetched_at": "2026-11-15T09:30:00.000000Z",
        "newest_fetched_at": "2026-11-21T09:30:00.000000Z",
    },
)


def kept_object(kept: Kept, stream: Stream) -> dict[str, Any]:
    """What of a stream's pages could be read again."""
    return {
        "stream_id": str(stream.id),
        "pages": kept.pages,
        "pages_known": kept.known,
        "records": kept.records,
        "record_count": stream.progress.record_count,
        "bytes": kept.bytes,
        "oldest_fetched_at": rfc3339(kept.oldest) if kept.oldest else None,
        "newest_fetched_at": rfc3339(kept.newest) if kept.newest else None,
    }


def consumer_object(standing: Standing) -> dict[str, Any]:
    """A reader and how far behind it is."""
    consumer, lag = standing
    return {
        "name": consumer.name,
        "offset": consumer.offset,
        "lag": lag,
        "committed_at": rfc3339(consumer.committed_at),
    }


def schema_object(version: SchemaVersion) -> dict[str, Any]:
    """What records looked like from some run on."""
    return {
        "number": version.number,
        "schema": version.schema,
        "run_id": str(version.run_id),
        "created_at": rfc3339(version.created_at),
    }


def rejected_object(rejected: Rejected) -> dict[str, Any]:
    """A record that could not be taken in."""
    return {
        "id": str(rejected.id),
        "run_id": str(rejected.run_id),
        "code": rejected.code,
        "detail": rejected.detail,
        "data": rejected.data,
        "created_at": rfc3339(rejected.created_at),
    }


def record_object(record: Version, data: Any) -> dict[str, Any]:
    """A version of a record; `data` stands for its JSON, however the answer holds that."""
    return {
        "offset": record.offset,
        "key": record.key,
        "data": data,
        "fetched_at": rfc3339(record.fetched_at),
        "change": record.change,
    }
