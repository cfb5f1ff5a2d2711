"""What the simulated HubSpot holds: contacts and deals with their properties, and associations."""

import itertools
import re
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sandbox.hubspot import refusals

MAX_VALUE = 65_536
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_PROPERTIES = {
    "contacts": (
        "email",
        "hs_additional_emails",
        "hs_merged_object_ids",
        "firstname",
        "lastname",
        "phone",
        "company",
        "lifecyclestage",
        "createdate",
        "lastmodifieddate",
        "hs_object_id",
    ),
    "deals": (
        "dealname",
        "amount",
        "dealstage",
        "pipeline",
        "closedate",
        "deal_currency_code",
        "hs_object_id",
    ),
}
_READ_ONLY = {"hs_object_id", "hs_merged_object_ids", "createdate", "lastmodifieddate"}
_TYPES = {
    "amount": "number",
    "closedate": "datetime",
    "createdate": "datetime",
    "lastmodifieddate": "datetime",
    "dealstage": "enumeration",
    "pipeline": "enumeration",
    "deal_currency_code": "enumeration",
    "lifecyclestage": "enumeration",
}


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
    properties: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    associations: set[tuple[str, str, str, str]] = field(default_factory=set)
    merged: dict[str, str] = field(default_factory=dict)
    news: list[dict[str, Any]] = field(default_factory=list)
    _emails: dict[str, str] = field(default_factory=dict)
    # (kind, property, value) -> whose it is, of properties that are unique.
    _unique: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(101)
        for kind, names in _PROPERTIES.items():
            for name in names:
                metadata = {"readOnlyValue": name in _READ_ONLY, "archivable": False}
                self.define(
                    kind, name, type=_TYPES.get(name, "string"), modificationMetadata=metadata
                )

    def define(self, kind: str, name: str, **more: Any) -> dict[str, Any]:
        """Make a property of a kind of record known; `more` are members of HubSpot's description."""
        described = {
            "name": name,
            "label": name,
            "type": "string",
            "fieldType": "text",
            "options": [],
            "calculated": False,
            "archived": False,
            "hasUniqueValue": False,
            "modificationMetadata": {"readOnlyValue": False, "archivable": True},
            **more,
        }
        self.properties.setdefault(kind, {})[name] = described
        return described

    def of(self, kind: str) -> dict[str, Record]:
        found: dict[str, Record] = getattr(self, kind)
        return found

    def find(
        self, kind: str, name: str, by: str = "id", *, is_archived: bool = False
    ) -> Record | None:
        """By record id (also one merged into another), by a unique property or, a contact, by any of its
        e-mails; either one of those that there are or of those that were deleted."""
        if by == "email":
            name = self._emails.get(name.lower(), "")
        elif by != "id":
            name = self._unique.get((kind, by, name), "")
        record = self.of(kind).get(self.merged.get(name, name))
        return None if record is None or record.archived != is_archived else record

    def create(self, kind: str, values: dict[str, Any]) -> Record:
        """Raises Invalid."""
        checked = self._checked(kind, values, None)
        record = Record(str(next(self._numbers)), {}, _now(), _now())
        self.of(kind)[record.id] = record
        self._write(kind, record, checked)
        return record

    def update(self, kind: str, record: Record, values: dict[str, Any]) -> Record:
        """Raises Invalid."""
        self._write(kind, record, self._checked(kind, values, record))
        return record

    def archive(self, kind: str, record: Record) -> None:
        record.archived = True
        if kind == "contacts" and record.id not in self.merged:
            self._tell("contact.deletion", record)
        self._emails = {
            email: holder for email, holder in self._emails.items() if holder != record.id
        }
        self._unique = {
            place: holder for place, holder in self._unique.items() if holder != record.id
        }

    def merge(self, primary: Record, other: Record) -> None:
        """`other` is no more; its id and e-mails lead to `primary`."""
        more = [*_split(primary), other.properties.get("email", ""), *_split(other)]
        self.merged[other.id] = primary.id
        self.archive("contacts", other)
        names = [*(primary.properties.get("hs_merged_object_ids") or "").split(";"), other.id]
        primary.properties["hs_merged_object_ids"] = ";".join(one for one in names if one)
        ids = {"primaryObjectId": int(primary.id), "mergedObjectIds": [int(other.id)]}
        self._tell("contact.merge", primary, **ids)
        self._write(
            "contacts", primary, {"hs_additional_emails": ";".join(one for one in more if one)}
        )

    def snapshot(self, kind: str) -> Any:
        """For `restore`, when a batch fails as a whole."""
        kept = deepcopy(self.of(kind)), dict(self._emails)
        return *kept, dict(self._unique), set(self.associations)

    def restore(self, kind: str, snapshot: Any) -> None:
        records, self._emails, self._unique, self.associations = snapshot
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
            described = self.properties[kind].get(name)
            if described is None or described["archived"]:
                raise Invalid(400, refusals.unknown_property(name))
            problem = _problem(described, value) or self._conflict(kind, described, value, record)
            if problem is not None:
                raise Invalid(400, refusals.invalid_value(name, *problem))
        if kind == "contacts" and values.get("email"):
            self._check_email(values["email"], record)
        return values

    def _conflict(
        self, kind: str, described: dict[str, Any], value: str, record: Record | None
    ) -> tuple[str, str] | None:
        holder = self._unique.get((kind, described["name"], value))
        if holder is None or (record is not None and holder == record.id):
            return None
        return "CONFLICTING_UNIQUE_VALUE", f"{holder} already has that value."

    def _check_email(self, email: str, record: Record | None) -> None:
        if not _EMAIL.fullmatch(email) or email.endswith(".invalid"):
            message = f"Email address {email} is invalid"
            raise Invalid(400, refusals.invalid_value("email", "INVALID_EMAIL", message))
        holder = self._emails.get(email.lower())
        if holder is not None and (record is None or holder != record.id):
            raise Invalid(409, refusals.taken(holder))

    def _write(self, kind: str, record: Record, values: dict[str, str]) -> None:
        lowered = {
            name: value.lower() if name == "email" else value for name, value in values.items()
        }
        if record.id in self.contacts:
            for name, value in lowered.items():
                if record.properties.get(name, "") != value:
                    change = {"propertyName": name, "propertyValue": value}
                    self._tell("contact.propertyChange", record, **change)
        self._note_unique(kind, record, values)
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

    def _note_unique(self, kind: str, record: Record, values: dict[str, str]) -> None:
        for name, value in values.items():
            if self.properties[kind][name]["hasUniqueValue"]:
                self._unique.pop((kind, name, record.properties.get(name, "")), None)
                if value:
                    self._unique[kind, name, value] = record.id


def _problem(described: dict[str, Any], value: Any) -> tuple[str, str] | None:
    """HubSpot's code and words for a value that the property cannot have."""
    name = described["name"]
    if described["modificationMetadata"]["readOnlyValue"] or described["calculated"]:
        return "READ_ONLY_VALUE", f'"{name}" is read only'
    if not isinstance(value, str):
        return "INVALID_STRING", f"{value} is not a string"
    if len(value) > MAX_VALUE:
        return "PROPERTY_VALUE_TOO_LONG", f"{name} is too long"
    if not value:
        return None
    match described["type"]:
        case "number" if not _NUMBER.fullmatch(value):
            return "INVALID_NUMBER", f"{value} was not a valid number."
        case "date" if not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            return "INVALID_DATE", f"{value} was not a valid date."
        case "datetime" if not re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", value):
            return "INVALID_DATE", f"{value} was not a valid date."
        case "enumeration" if known := [one["value"] for one in described["options"]]:
            if value not in known:
                return "INVALID_OPTION", f"{value} was not one of the allowed options: {known}"
    return None


def _split(record: Record) -> list[str]:
    return (record.properties.get("hs_additional_emails") or "").split(";")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
