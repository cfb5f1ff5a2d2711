"""Streams and runs as JSON, and what happens to them."""

from datetime import UTC, datetime
from typing import Any

from apps.common.clock import rfc3339
from apps.common.schemas import (
    array,
    boolean,
    component,
    enum,
    free_object,
    integer,
    nullable,
    number,
    obj,
    string,
    timestamp,
    uuid,
)
from apps.datafetch.enums import Health, RunStatus, SchemaPolicy, State, Trigger
from apps.datafetch.models import Page, Progress, Run, Stream
from apps.events.catalogue import define

RUN_EXAMPLE: dict[str, Any] = {
    "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9e01",
    "stream_id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9d01",
    "status": "succeeded",
    "trigger": "schedule",
    "full_refresh": True,
    "started_at": "2026-11-21T09:30:00.000000Z",
    "ended_at": "2026-11-21T09:30:02.150000Z",
    "pages": 3,
    "requests": 4,
    "bytes": 48213,
    "records_new": 12,
    "records_changed": 3,
    "records_unchanged": 240,
    "records_deleted": 1,
    "records_rejected": 0,
    "deletes_held_back": 0,
    "records_per_second": 118.6,
    "error": None,
    "checkpoint": {"pages": 3, "reading": 1},
}

RUN = component(
    "StreamRun",
    obj(
        {
            "id": uuid(),
            "stream_id": uuid(),
            "status": enum(RunStatus.values),
            "trigger": enum(Trigger.values),
            "full_refresh": boolean("It reads everything, so that what is missing is deleted."),
            "started_at": timestamp(),
            "ended_at": nullable(timestamp("Null while it is in progress.")),
            "pages": integer(),
            "requests": integer("With those that failed, and those answered 304."),
            "bytes": integer("Received."),
            "records_new": integer(),
            "records_changed": integer(),
            "records_unchanged": integer(),
            "records_deleted": integer(),
            "records_rejected": integer("They could not be taken in."),
            "deletes_held_back": integer(
                "So many vanished at once that it was not believed; run with `allow_deletes` if it is so."
            ),
            "records_per_second": number("On average, waits included."),
            "error": nullable(
                free_object(
                    "Why it failed, or why it waits: `code`, `detail`, `status`, `page`, `attempt`, and "
                    "the `request`, without secrets."
                )
            ),
            "checkpoint": free_object(
                "How far it has come; `pages_total` is known of a remap alone."
            ),
        }
    ),
    example=RUN_EXAMPLE,
)

_STATUS_PROPERTIES = {
    "state": enum(State.values),
    "health": enum(Health.values),
    "paused_at": nullable(
        timestamp("Since when it has failed so often, for so long, that it is only probed.")
    ),
    "last_run": nullable(RUN),
    "next_run_at": nullable(timestamp("Null when it is stopped.")),
    "record_count": integer("Records that are there at present."),
    "last_offset": integer("Of the newest version of a record; 0 for none."),
}
_STATUS_EXAMPLE: dict[str, Any] = {
    "state": "running",
    "health": "ok",
    "paused_at": None,
    "last_run": RUN_EXAMPLE,
    "next_run_at": "2026-11-21T09:35:07.310000Z",
    "record_count": 255,
    "last_offset": 271,
}

STATUS = component(
    "StreamStatus",
    obj({"id": uuid(), "name": string(), **_STATUS_PROPERTIES}),
    example={"id": RUN_EXAMPLE["stream_id"], "name": "Shop orders", **_STATUS_EXAMPLE},
)

STREAM = component(
    "Stream",
    obj(
        {
            "id": uuid(),
            "name": string(),
            "url": string(format="uri"),
            "interval_seconds": nullable(integer()),
            "cron": nullable(string("In UTC.")),
            "records_path": string("JMESPath; empty: the body itself."),
            "primary_key": {
                "type": ["string", "array", "null"],
                "items": {"type": "string"},
                "description": "A JMESPath or several; null: records are told apart by content.",
            },
            "cursor": nullable(free_object()),
            "pagination": free_object(),
            "auth": free_object("Without its secrets."),
            "headers": free_object("Null stands for a secret."),
            "params": free_object("Null stands for a secret."),
            "mapping": nullable(free_object("Name of a field → JMESPath.")),
            "schema_policy": enum(SchemaPolicy.values, "What becomes of records with a new form."),
            "rate_limit": nullable(number("Requests a second at most.")),
            "version": integer(),
            "created_at": timestamp(),
            "updated_at": timestamp(),
            **_STATUS_PROPERTIES,
        }
    ),
    example={
        "id": RUN_EXAMPLE["stream_id"],
        "name": "Shop orders",
        "url": "https://shop.example/api/orders",
        "interval_seconds": 300,
        "cron": None,
        "records_path": "results",
        "primary_key": "id",
        "cursor": None,
        "pagination": {"type": "next_link", "path": "next"},
        "auth": {"type": "bearer"},
        "headers": {},
        "params": {},
        "mapping": None,
        "schema_policy": "evolve",
        "rate_limit": None,
        "version": 1,
        "created_at": "2026-11-21T09:00:00.000000Z",
        "updated_at": "2026-11-21T09:00:00.000000Z",
        **_STATUS_EXAMPLE,
    },
)

STREAMS = component(
    "Streams",
    obj({"results": array(STREAM, "Those whose state has changed.")}),
    example={"results": []},
)

LAST_PAGE_EXAMPLE = {
    "url": "https://shop.example/api/orders?page=7",
    "number": 7,
    "visited_at": "2026-11-21T09:15:01.000000Z",
    "record_count": 100,
    "run_id": RUN_EXAMPLE["id"],
}
LAST_PAGE = obj(
    {
        "url": string("Without secrets."),
        "number": integer("Its place in its run, from 1 on."),
        "visited_at": timestamp(),
        "record_count": integer(),
        "run_id": uuid(),
    }
)

SCHEMA_CHANGE = component(
    "StreamSchemaChange",
    obj(
        {
            "id": uuid(),
            "name": string(),
            "schema_policy": enum(SchemaPolicy.values),
            "number": integer("Of the schema that is in force: the new one, if it evolves."),
            "added": array(string(), "Fields that are new."),
            "widened": array(string(), "Fields with values of types that are new."),
        }
    ),
    example={
        "id": RUN_EXAMPLE["stream_id"],
        "name": "Shop orders",
        "schema_policy": "evolve",
        "number": 2,
        "added": ["discount"],
        "widened": ["total"],
    },
)

FAILURE = component(
    "StreamFailure",
    obj(
        {
            "id": uuid(),
            "name": string(),
            "cause": string("What fails, in a word."),
            "failing_since": timestamp(),
            "last_page": nullable(LAST_PAGE),
            **_STATUS_PROPERTIES,
        }
    ),
    example={
        "id": RUN_EXAMPLE["stream_id"],
        "name": "Shop orders",
        "cause": "unauthorized",
        "failing_since": "2026-11-21T09:20:00.000000Z",
        "last_page": LAST_PAGE_EXAMPLE,
        **_STATUS_EXAMPLE,
        "health": "failing",
    },
)

STARTED = define("stream.started", "A stream was started; it runs by its schedule.", STATUS)
STOPPED = define("stream.stopped", "A stream was stopped.", STATUS)
RUN_SUCCEEDED = define(
    "stream.run_succeeded", "A run came to its end; `last_run` has its figures.", STATUS
)
RUN_FAILED = define("stream.run_failed", "A run was given up; `last_run.error` says why.", STATUS)
FAILING = define(
    "stream.failing",
    "Runs fail again and again; told once of each cause, until the stream has recovered.",
    FAILURE,
)
PAUSED = define(
    "stream.paused",
    "It has failed so often, for so long, that it is only probed: once an hour, after a week once a day.",
    FAILURE,
)
RECOVERED = define("stream.recovered", "A run succeeded after the stream was failing.", STATUS)

SCHEMA_CHANGED = define(
    "stream.schema_changed", "Records came that do not look like those before.", SCHEMA_CHANGE
)


def run_object(run: Run) -> dict[str, Any]:
    """A run, in progress or ended."""
    return {
        "id": str(run.id),
        "stream_id": str(run.stream_id),
        "status": run.status,
        "trigger": run.trigger,
        "full_refresh": run.full_refresh,
        "started_at": rfc3339(run.started_at),
        "ended_at": rfc3339(run.ended_at) if run.ended_at else None,
        "pages": run.pages,
        "requests": run.requests,
        "bytes": run.bytes,
        "records_new": run.records_new,
        "records_changed": run.records_changed,
        "records_unchanged": run.records_unchanged,
        "records_deleted": run.records_deleted,
        "records_rejected": run.records_rejected,
        "deletes_held_back": run.deletes_held_back,
        "records_per_second": records_per_second(run),
        "error": run.error,
        "checkpoint": run.checkpoint,
    }


def records_per_second(run: Run) -> float:
    """How many records of all kinds it has worked off a second, from its start until its end, or now."""
    worked_off = (
        run.records_new + run.records_changed + run.records_unchanged + run.records_rejected
    )
    seconds = ((run.ended_at or datetime.now(UTC)) - run.started_at).total_seconds()
    return round(worked_off / seconds, 1) if worked_off and seconds > 0 else 0.0


def status_object(stream: Stream) -> dict[str, Any]:
    """How a stream fares, without its configuration: what its events carry."""
    return {"id": str(stream.id), "name": stream.name, **_status(stream)}


def failure_object(stream: Stream, cause: str, last_page: Page | None) -> dict[str, Any]:
    """What somebody needs to mend a stream that fails; `last_run.error` has the request and its answer."""
    since = stream.progress.failing_since
    return {
        "id": str(stream.id),
        "name": stream.name,
        "cause": cause,
        "failing_since": rfc3339(since) if since else None,
        "last_page": _last_page(last_page) if last_page else None,
        **_status(stream),
    }


def schema_change_object(
    stream: Stream, number: int, *, added: list[str], widened: list[str]
) -> dict[str, Any]:
    """What is new about a stream's records."""
    return {
        "id": str(stream.id),
        "name": stream.name,
        "schema_policy": stream.schema_policy,
        "number": number,
        "added": added,
        "widened": widened,
    }


def stream_object(stream: Stream) -> dict[str, Any]:
    """A stream as its owner sees it: everything but its secrets."""
    return {
        "id": str(stream.id),
        "name": stream.name,
        "url": stream.url,
        "interval_seconds": stream.interval_seconds,
        "cron": stream.cron or None,
        "records_path": stream.records_path,
        "primary_key": stream.primary_key,
        "cursor": stream.cursor,
        "pagination": stream.pagination,
        "auth": stream.auth,
        "headers": {**stream.headers, **dict.fromkeys(stream.secret_headers)},
        "params": {**stream.params, **dict.fromkeys(stream.secret_params)},
        "mapping": stream.mapping,
        "schema_policy": stream.schema_policy,
        "rate_limit": stream.rate_limit,
        "version": stream.version,
        "created_at": rfc3339(stream.created_at),
        "updated_at": rfc3339(stream.updated_at),
        **_status(stream),
    }


def health(progress: Progress) -> Health:
    """One run that succeeds makes it ok, some that fail in a row failing (services.health)."""
    if progress.told:
        return Health.FAILING
    return Health.OK if progress.succeeded_at else Health.NEVER_RUN


def _last_page(page: Page) -> dict[str, Any]:
    return {
        "url": page.url,
        "number": page.number,
        "visited_at": rfc3339(page.visited_at),
        "record_count": page.record_count,
        "run_id": str(page.run_id),
    }


def _status(stream: Stream) -> dict[str, Any]:
    progress = stream.progress
    return {
        "state": stream.state,
        "health": health(progress).value,
        "paused_at": rfc3339(progress.paused_at) if progress.paused_at else None,
        "last_run": run_object(progress.last_run) if progress.last_run else None,
        "next_run_at": rfc3339(progress.next_run_at) if progress.next_run_at else None,
        "record_count": progress.record_count,
        "last_offset": progress.last_offset,
    }
