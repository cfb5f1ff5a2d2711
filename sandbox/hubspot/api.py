"""HubSpot's paths, as far as they are simulated: batches, single records, searches, deals, properties."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.hubspot import refusals
from sandbox.hubspot.records import Invalid, Record, Records
from sandbox.hubspot.refusals import Refusal, refusal
from sandbox.hubspot.settings import Settings
from sandbox.hubspot.webhooks import HUB_ID

MAX_INPUTS = 100
# /crm/v3/objects/contacts/… and /crm/objects/2026-09/contacts/… are the same place.
_UNDATED = re.compile(r"^/crm/v\d/(\w+)/|^/crm/(\w+)/\d{4}-\d{2}/")
_KINDS = "(contacts|deals)"


@dataclass(frozen=True)
class Asked:
    """A call, as the routes below see it."""

    method: str
    path: str
    query: dict[str, str]
    body: Any


Reply = tuple[int, Any]


def canonical(path: str) -> str:
    """`path` without its version: /crm/objects/contacts/…."""
    return _UNDATED.sub(lambda found: f"/crm/{found[1] or found[2]}/", path)


class Api:
    """Carries out calls; the server has checked token and limits, and holds the lock."""

    def __init__(self, records: Records, settings: Settings) -> None:
        self._records = records
        self._settings = settings
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Reply]]] = [
            (method, re.compile(pattern), call)
            for method, pattern, call in (
                ("POST", rf"/crm/objects/{_KINDS}/batch/read", self._batch_read),
                ("POST", rf"/crm/objects/{_KINDS}/batch/update", self._batch_update),
                ("POST", rf"/crm/objects/{_KINDS}/batch/upsert", self._batch_upsert),
                ("POST", rf"/crm/objects/{_KINDS}/batch/create", self._batch_create),
                ("POST", rf"/crm/objects/{_KINDS}/batch/archive", self._batch_archive),
                ("POST", rf"/crm/objects/{_KINDS}/search", self._search),
                ("POST", r"/crm/objects/contacts/gdpr-delete", self._gdpr_delete),
                ("GET", rf"/crm/objects/{_KINDS}", self._page),
                ("POST", rf"/crm/objects/{_KINDS}", self._create),
                ("GET", rf"/crm/objects/{_KINDS}/([^/]+)", self._get),
                ("PATCH", rf"/crm/objects/{_KINDS}/([^/]+)", self._update),
                ("DELETE", rf"/crm/objects/{_KINDS}/([^/]+)", self._archive),
                ("GET", rf"/crm/properties/{_KINDS}", self._properties),
                ("POST", rf"/crm/properties/{_KINDS}", self._define),
                ("GET", rf"/crm/properties/{_KINDS}/(\w+)", self._property),
                (
                    "PUT",
                    r"/crm/objects/(\w+)/(\w+)/associations/(?:default/)?(\w+)/(\w+)(?:/\d+)?",
                    self._associate,
                ),
                (
                    "POST",
                    r"/crm/associations/(\w+)/(\w+)/batch/(?:create|associate/default)",
                    self._associate_batch,
                ),
                ("GET", r"/account-info/[^/]+/api-usage/daily/private-apps", self._usage),
                ("GET", r"/account-info/[^/]+/details", self._details),
            )
        ]

    def call(self, asked: Asked) -> Reply:
        """The status and body of the answer; raises Refusal."""
        path = canonical(asked.path)
        for method, pattern, call in self._routes:
            found = pattern.fullmatch(path)
            if found and method == asked.method:
                return call(asked, *found.groups())
        raise refusal(404, "OBJECT_NOT_FOUND", f"resource not found: {asked.path}")

    # Batches

    def _batch_read(self, asked: Asked, kind: str) -> Reply:
        by = asked.body.get("idProperty") or "id"
        names = asked.body.get("properties")
        is_archived = asked.query.get("archived", "").lower() == "true"
        found, missing = [], []
        seen: set[str] = set()
        for one in _inputs(asked):
            record = self._records.find(kind, one["id"], by, is_archived=is_archived)
            if record is None:
                missing.append(one["id"])
            elif record.id not in seen:
                seen.add(record.id)
                found.append(record.as_json(names))
        return _batch_reply(found, [refusals.not_found(missing)] if missing else [])

    def _batch_update(self, asked: Asked, kind: str) -> Reply:
        inputs = _inputs(asked)
        if any(one.get("idProperty") for one in inputs):
            message = "Unable to perform update by non-unique 0-1 property"
            raise refusal(400, "VALIDATION_ERROR", message)
        missing: list[str] = []

        def write(one: dict[str, Any]) -> tuple[Record, bool] | None:
            record = self._records.find(kind, one["id"])
            if record is None:
                missing.append(one["id"])
                return None
            return self._records.update(kind, record, one["properties"]), False

        results, errors = self._write_all(kind, inputs, write)
        return _batch_reply(results, [*errors, *([refusals.not_found(missing)] if missing else [])])

    def _batch_upsert(self, asked: Asked, kind: str) -> Reply:
        def write(one: dict[str, Any]) -> tuple[Record, bool]:
            by = one.get("idProperty") or "id"
            record = self._records.find(kind, one["id"], by)
            if record is not None:
                return self._records.update(kind, record, one["properties"]), False
            values = {**one["properties"]}
            if by != "id":
                values.setdefault(by, one["id"])
            return self._records.create(kind, values), True

        results, errors = self._write_all(kind, _inputs(asked), write)
        return _batch_reply(results, errors)

    def _batch_create(self, asked: Asked, kind: str) -> Reply:
        inputs = asked.body.get("inputs", [])
        _check_size(inputs)

        def write(one: dict[str, Any]) -> tuple[Record, bool]:
            return self._make(kind, one), True

        results, errors = self._write_all(kind, inputs, write)
        status, body = _batch_reply(results, errors)
        return (201 if status == 200 else status), body

    def _batch_archive(self, asked: Asked, kind: str) -> Reply:
        for one in _inputs(asked):
            record = self._records.find(kind, one["id"])
            if record is not None:
                self._records.archive(kind, record)
        return 204, None

    def _write_all(
        self,
        kind: str,
        inputs: list[dict[str, Any]],
        write: Callable[[dict[str, Any]], tuple[Record, bool] | None],
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Without row errors nothing is written when one row is bad, and only the first is named."""
        by_row = self._settings.row_errors and all(one.get("objectWriteTraceId") for one in inputs)
        before = None if by_row else self._records.snapshot(kind)
        results: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for one in inputs:
            try:
                written = write(one)
            except Invalid as invalid:
                if before is not None:
                    self._records.restore(kind, before)
                    raise Refusal(invalid.status, invalid.error) from None
                context = invalid.error.get("context", {})
                traced = {**context, "objectWriteTraceId": [one["objectWriteTraceId"]]}
                errors.append({**invalid.error, "context": traced})
                continue
            if written is not None:
                results.append(self._result(*written, one))
        results.reverse()  # not in the order of the inputs
        return results, errors

    def _result(self, record: Record, is_new: bool, one: dict[str, Any]) -> dict[str, Any]:
        more: dict[str, Any] = {"new": is_new}
        if self._settings.echo_traces and one.get("objectWriteTraceId"):
            more["objectWriteTraceId"] = one["objectWriteTraceId"]
        return record.as_json(None, **more)

    # Single records

    def _page(self, asked: Asked, kind: str) -> Reply:
        limit = min(int(asked.query.get("limit", "10")), 100)
        after = int(asked.query.get("after", "0"))
        names = asked.query["properties"].split(",") if "properties" in asked.query else None
        rows = sorted(
            (one for one in self._records.of(kind).values() if not one.archived),
            key=lambda one: int(one.id),
        )
        rows = [one for one in rows if int(one.id) > after]
        body: dict[str, Any] = {"results": [one.as_json(names) for one in rows[:limit]]}
        if len(rows) > limit:
            body["paging"] = {"next": {"after": rows[limit - 1].id}}
        return 200, body

    def _get(self, asked: Asked, kind: str, id: str) -> Reply:
        return 200, self._found(asked, kind, id).as_json()

    def _create(self, asked: Asked, kind: str) -> Reply:
        return 201, self._single(lambda: self._make(kind, asked.body)).as_json()

    def _make(self, kind: str, asked: dict[str, Any]) -> Record:
        """A record with its associations, or neither. Raises Invalid."""
        to = "contacts" if kind == "deals" else "deals"
        others = [str(one["to"]["id"]) for one in asked.get("associations") or []]
        unknown = [one for one in others if self._records.find(to, one) is None]
        if unknown:
            raise Invalid(400, refusals.no_such_association(unknown))
        record = self._records.create(kind, asked["properties"])
        self._records.associations |= {(kind, record.id, to, one) for one in others}
        return record

    def _update(self, asked: Asked, kind: str, id: str) -> Reply:
        record = self._found(asked, kind, id)
        self._single(lambda: self._records.update(kind, record, asked.body["properties"]))
        return 200, record.as_json()

    def _archive(self, asked: Asked, kind: str, id: str) -> Reply:
        record = self._records.find(kind, id)
        if record is not None:
            self._records.archive(kind, record)
        return 204, None

    def _gdpr_delete(self, asked: Asked) -> Reply:
        by = asked.body.get("idProperty") or "id"
        record = self._records.find("contacts", asked.body["objectId"], by)
        if record is not None:
            self._records.archive("contacts", record)
            del self._records.contacts[record.id]
        return 204, None

    def _search(self, asked: Asked, kind: str) -> Reply:
        limit = min(int(asked.body.get("limit") or 10), 200)
        filters = [
            one for group in asked.body.get("filterGroups") or [] for one in group["filters"]
        ]
        found = [
            record
            for record in self._records.of(kind).values()
            if not record.archived and all(_matches(record, one) for one in filters)
        ]
        names = asked.body.get("properties")
        return 200, {
            "total": len(found),
            "results": [one.as_json(names) for one in found[:limit]],
        }

    def _found(self, asked: Asked, kind: str, id: str) -> Record:
        record = self._records.find(kind, id, asked.query.get("idProperty", "id"))
        if record is None:
            raise refusal(404, "OBJECT_NOT_FOUND", "Object not found.", context={"id": [id]})
        return record

    @staticmethod
    def _single(write: Callable[[], Record]) -> Record:
        try:
            return write()
        except Invalid as invalid:
            raise Refusal(invalid.status, invalid.error) from None

    # The rest

    def _properties(self, asked: Asked, kind: str) -> Reply:
        archived = asked.query.get("archived", "").lower() == "true"
        known = self._records.properties[kind].values()
        return 200, {"results": [one for one in known if one["archived"] is archived]}

    def _property(self, asked: Asked, kind: str, name: str) -> Reply:
        described = self._records.properties[kind].get(name)
        if described is None or described["archived"]:
            message = f'Property "{name}" does not exist'
            raise refusal(404, "OBJECT_NOT_FOUND", message)
        return 200, described

    def _define(self, asked: Asked, kind: str) -> Reply:
        name = asked.body["name"]
        if name in self._records.properties[kind]:
            message = f'A property named "{name}" already exists.'
            raise refusal(409, "OBJECT_ALREADY_EXISTS", message)
        return 201, self._records.define(kind, **asked.body)

    def _associate(self, asked: Asked, kind: str, id: str, to: str, to_id: str) -> Reply:
        self._records.associations.add((kind, id, to, to_id))
        return 200, {"fromObjectId": id, "toObjectId": to_id}

    def _associate_batch(self, asked: Asked, kind: str, to: str) -> Reply:
        for one in _inputs(asked, key=None):
            self._records.associations.add((kind, str(one["from"]["id"]), to, str(one["to"]["id"])))
        return 200, {"status": "COMPLETE", "results": []}

    def _usage(self, asked: Asked) -> Reply:
        settings = self._settings
        usage = {
            "usageLimit": settings.daily_limit,
            "currentUsage": settings.daily_used,
            "resetsAt": settings.resets_at,
        }
        return 200, {"results": [usage]}

    def _details(self, asked: Asked) -> Reply:
        return 200, {"portalId": HUB_ID, "timeZone": "US/Eastern", "companyCurrency": "EUR"}


def _inputs(asked: Asked, key: str | None = "id") -> list[dict[str, Any]]:
    inputs: list[dict[str, Any]] = asked.body.get("inputs", [])
    _check_size(inputs)
    if key is not None:
        ids = [one[key] for one in inputs]
        doubled = sorted({one for one in ids if ids.count(one) > 1})
        if doubled:
            raise refusal(
                400,
                "VALIDATION_ERROR",
                f"Duplicate IDs found in batch input: [{', '.join(doubled)}]. IDs must be unique",
            )
    return inputs


def _check_size(inputs: list[dict[str, Any]]) -> None:
    if len(inputs) > MAX_INPUTS:
        message = f"The maximum batch size is {MAX_INPUTS}, was {len(inputs)}"
        raise refusal(400, "VALIDATION_ERROR", message)


def _batch_reply(results: list[dict[str, Any]], errors: list[dict[str, Any]]) -> Reply:
    body: dict[str, Any] = {
        "status": "COMPLETE",
        "results": results,
        "startedAt": "2026-11-21T09:30:00.000Z",
        "completedAt": "2026-11-21T09:30:00.010Z",
    }
    if not errors:
        return 200, body
    return 207, {**body, "errors": errors, "numErrors": len(errors)}


def _matches(record: Record, wanted: dict[str, Any]) -> bool:
    value = record.properties.get(wanted["propertyName"])
    if wanted["operator"] == "EQ":
        return bool(value == wanted.get("value"))
    if wanted["operator"] == "IN":
        return bool(value in wanted.get("values", []))
    return bool(value) is (wanted["operator"] == "HAS_PROPERTY")
