"""What the simulated HubSpot holds: contacts and deals with their properties, and associations."""

import itertools
import re
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sandbox.hubspot import refusals

MAX_VALUE = 65_536
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_PROPERTIES = {
    "contacts": (
        "email",
        "hs_additional_emails",
        "firstname",
        "lastname",
        "phone",
        "company",
        "lifecyclestage",
        "createdate",
        "lastmodifieddate",
        "hs_object_id",
    ),
    "deals": ("dealname", "amount", "dealstage", "pipeline", "closedate", "hs_object_id"),
}
_READ_ONLY = {"hs_object_id", "createdate", "lastmodifieddate"}


class Invalid(Exception):
    """A row that cannot be written: `status` is that of the whole call when it has to fail."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.status = status
        self.error = error


@dataclass
class Record:
    id: str
    properties: dict[str, str]
    created_at: str
    updated_at: str
    archived: bool = False

    def as_json(self, names: list[str] | None = None, **more: Any) -> dict[str, Any]:
        shown = names if names is not None else list(self.properties)
        return {
            "id": self.id,
            "properties": {
                **{name: self.properties.get(name) for name in shown},
                "hs_object_id": self.id,
            },
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "archived": self.archived,
            **more,
        }


@dataclass
class Records:
    """Not thread-safe: the server holds its lock around every use."""

    contacts: dict[str, Record] = field(default_factory=dict)
    deals: dict[str, Record] = field(default_factory=dict)
    properties: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    associations: set[tuple[str, str, str, str]] = field(default_factory=set)
    merged: dict[str, str] = field(default_factory=dict)
    news: list[dict[str, Any]] = field(default_factory=list)
    _emails: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(101)
        for kind, names in _PROPERTIES.items():
            for name in names:
                self.define(kind, name)

    def define(self, kind: str, name: str, **more: str) -> dict[str, str]:
        """Make a property of a kind of record known."""
        described = {"name": name, "label": name, "type": "string", "fieldType": "text", **more}
        self.properties.setdefault(kind, {})[name] = described
        return described

    def of(self, kind: str) -> dict[str, Record]:
        found: dict[str, Record] = getattr(self, kind)
        return found

    def find(self, kind: str, name: str, by: str = "id") -> Record | None:
        """By record id (also one merged into another) or, a contact, by any of its e-mails."""
        if by == "email":
            name = self._emails.get(name.lower(), "")
        record = self.of(kind).get(self.merged.get(name, name))
        return None if record is None or record.archived else record

    def create(self, kind: str, values: dict[str, Any]) -> Record:
        """Raises Invalid."""
        checked = self._checked(kind, values, None)
        record = Record(str(next(self._numbers)), {}, _now(), _now())
        self.of(kind)[record.id] = record
        self._write(record, checked)
        return record

    def update(self, kind: str, record: Record, values: dict[str, Any]) -> Record:
        """Raises Invalid."""
        self._write(record, self._checked(kind, values, record))
        return record

    def archive(self, kind: str, record: Record) -> None:
        record.archived = True
        if kind == "contacts" and record.id not in self.merged:
            self._tell("contact.deletion", record)
        self._emails = {
            email: holder for email, holder in self._emails.items() if holder != record.id
        }

    def merge(self, primary: Record, other: Record) -> None:
        """`other` is no more; its id and e-mails lead to `primary`."""
        more = [*_split(primary), other.properties.get("email", ""), *_split(other)]
        self.merged[other.id] = primary.id
        self.archive("contacts", other)
        ids = {"primaryObjectId": int(primary.id), "mergedObjectIds": [int(other.id)]}
        self._tell("contact.merge", primary, **ids)
        self._write(primary, {"hs_additional_emails": ";".join(one for one in more if one)})

    def snapshot(self, kind: str) -> Any:
        """For `restore`, when a batch fails as a whole."""
        return deepcopy(self.of(kind)), dict(self._emails)

    def restore(self, kind: str, snapshot: Any) -> None:
        records, self._emails = snapshot
        self.of(kind).clear()
        self.of(kind).update(records)

    def take_news(self) -> list[dict[str, Any]]:
        """What happened to contacts since this was last asked."""
        taken, self.news = self.news, []
        return taken

    def _tell(self, kind: str, record: Record, **more: Any) -> None:
        self.news.append({"subscriptionType": kind, "objectId": int(record.id), **more})

    def _checked(self, kind: str, values: dict[str, Any], record: Record | None) -> dict[str, str]:
        for name, value in values.items():
            if name not in self.properties[kind]:
                raise Invalid(400, refusals.unknown_property(name))
            if name in _READ_ONLY:
                message = f'"{name}" is read only'
                raise Invalid(400, refusals.invalid_value(name, "READ_ONLY_VALUE", message))
            if not isinstance(value, str):
                message = f"{value} is not a string"
                raise Invalid(400, refusals.invalid_value(name, "INVALID_STRING", message))
            if len(value) > MAX_VALUE:
                message = f"{name} is too long"
                raise Invalid(400, refusals.invalid_value(name, "PROPERTY_VALUE_TOO_LONG", message))
        if kind == "contacts" and values.get("email"):
            self._check_email(values["email"], record)
        return values

    def _check_email(self, email: str, record: Record | None) -> None:
        if not _EMAIL.fullmatch(email) or email.endswith(".invalid"):
            message = f"Email address {email} is invalid"
            raise Invalid(400, refusals.invalid_value("email", "INVALID_EMAIL", message))
        holder = self._emails.get(email.lower())
        if holder is not None and (record is None or holder != record.id):
            raise Invalid(409, refusals.taken(holder))

    def _write(self, record: Record, values: dict[str, str]) -> None:
        lowered = {
            name: value.lower() if name == "email" else value for name, value in values.items()
        }
        if record.id in self.contacts:
            for name, value in lowered.items():
                if record.properties.get(name, "") != value:
                    change = {"propertyName": name, "propertyValue": value}
                    self._tell("contact.propertyChange", record, **change)
        old, old_more = record.properties.get("email"), _split(record)
        record.properties |= lowered
        record.updated_at = _now()
        if record.id not in self.contacts:
            return
        for email in (old or "", *old_more):
            self._emails.pop(email.lower(), None)
        for email in (record.properties.get("email", ""), *_split(record)):
            if email:
                self._emails[email.lower()] = record.id


def _split(record: Record) -> list[str]:
    return (record.properties.get("hs_additional_emails") or "").split(";")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
