"""What a preview answers with."""

from typing import Any

import orjson

from apps.common.schemas import (
    array,
    boolean,
    component,
    enum,
    free_object,
    integer,
    nullable,
    obj,
    string,
)
from apps.datafetch.enums import Change
from apps.datafetch.services.previewing import Preview
from apps.datafetch.sources import forms

_ANY: dict[str, Any] = {"description": "A text, a number or null."}

PREVIEW = component(
    "StreamPreview",
    obj(
        {
            "request": obj(
                {
                    "method": string(),
                    "url": string("*** stands for a secret."),
                    "headers": free_object("*** stands for a secret."),
                }
            ),
            "response": nullable(
                obj(
                    {
                        "status": integer(),
                        "url": string("After redirects."),
                        "headers": free_object("Those that tell something."),
                        "bytes": integer("Received, with the head."),
                        "body_bytes": integer("Unpacked."),
                        "milliseconds": integer(),
                        "excerpt": nullable(string("How a body begins that is of no use.")),
                    }
                )
            ),
            "error": nullable(free_object("What a run would fail of: `code`, `detail`, `status`.")),
            "records_found": nullable(integer("On the page; null when it was not understood.")),
            "records": array(
                obj(
                    {
                        "key": string(),
                        "cursor": _ANY,
                        "change": enum([Change.NEW, Change.CHANGED, "unchanged"]),
                        "data": free_object(),
                    }
                ),
                "The first ones, as they would be stored.",
            ),
            "records_rejected": integer("Of those on the page."),
            "rejected": array(
                obj({"code": string(), "detail": string(), "data": string()}), "The first ones."
            ),
            "greatest_cursor": _ANY,
            "schema": free_object("JSON Schema of the records on the page."),
            "schema_changes": {
                "type": ["array", "null"],
                "items": {"type": "string"},
                "description": "Fields that are new or wider than the stream's schema; null without one.",
            },
            "next_page": nullable(obj({"url": string(), "is_other_origin": boolean()})),
            "warnings": array(
                obj({"code": string(), "detail": string()}), "What may not be meant."
            ),
        }
    ),
    example={
        "request": {
            "method": "GET",
            "url": "https://shop.example/api/orders?limit=100&offset=0",
            "headers": {"authorization": "***", "accept": "application/json, */*;q=0.5"},
        },
        "response": {
            "status": 200,
            "url": "https://shop.example/api/orders?limit=100&offset=0",
            "headers": {"content-type": "application/json"},
            "bytes": 5120,
            "body_bytes": 18211,
            "milliseconds": 84,
            "excerpt": None,
        },
        "error": None,
        "records_found": 50,
        "records": [
            {
                "key": "1042",
                "cursor": "2026-11-21T09:12:00Z",
                "change": "new",
                "data": {"id": 1042, "status": "paid"},
            }
        ],
        "records_rejected": 0,
        "rejected": [],
        "greatest_cursor": "2026-11-21T09:12:00Z",
        "schema": {
            "type": "object",
            "properties": {"id": {"type": ["integer"]}, "status": {"type": ["string"]}},
        },
        "schema_changes": None,
        "next_page": None,
        "warnings": [
            {
                "code": "short_page",
                "detail": "The page has 50 records, 100 were asked for: a run takes it for the last one. If "
                "the server never gives more than 50, ask for 50.",
            }
        ],
    },
)


def preview_object(seen: Preview) -> dict[str, Any]:
    """A first page as it would be stored."""
    return {
        "request": seen.request,
        "response": seen.response,
        "error": seen.error,
        "records_found": seen.found,
        "records": [
            {
                "key": one.key,
                "cursor": one.cursor,
                "change": one.change or "unchanged",
                "data": orjson.Fragment(one.data),
            }
            for one in seen.samples
        ],
        "records_rejected": seen.refused_count,
        "rejected": [
            {"code": one.code, "detail": one.detail, "data": one.data.decode(errors="replace")}
            for one in seen.refused
        ],
        "greatest_cursor": seen.greatest,
        "schema": forms.as_schema(seen.form),
        "schema_changes": None if seen.strange is None else sorted(seen.strange),
        "next_page": seen.following,
        "warnings": [one._asdict() for one in seen.warnings],
    }
