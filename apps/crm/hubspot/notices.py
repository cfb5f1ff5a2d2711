"""What HubSpot's webhooks say: an array of up to 100 notices, unordered, repeated, each member optional.

Source: https://developers.hubspot.com/docs/api-reference/webhooks-webhooks-v3/guide
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from apps.crm.enums import NoticeKind
from apps.crm.hubspot.answers import as_list, as_object

MAX_NOTICES = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS = 253_402_300_799_999
_CONTACTS = "0-1"  # HubSpot's objectTypeId
_KINDS = {
    "propertyChange": NoticeKind.CHANGED,
    "deletion": NoticeKind.DELETED,
    "privacyDeletion": NoticeKind.DELETED,
    "merge": NoticeKind.MERGED,
}


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that happened to a contact in HubSpot. `digest` is the same for each time it is told."""

    digest: str
    hub_id: int
    kind: NoticeKind
    contact_id: str
    occurred_at: datetime
    property_name: str = ""
    value: str = ""
    merged_ids: tuple[str, ...] = ()


def notices_of(raw: bytes) -> list[Told]:
    """Those of a request's body that concern contacts; raises ValueError when it is no array of them."""
    told = orjson.loads(raw)
    if not isinstance(told, list) or len(told) > MAX_NOTICES:
        raise ValueError(f"an array of up to {MAX_NOTICES} notices was expected")
    read = [_notice(as_object(one)) for one in told]
    return [one for one in read if one is not None]


def _notice(told: Mapping[str, Any]) -> Told | None:
    subject, _, what = str(told.get("subscriptionType")).partition(".")
    is_contact = subject == "contact" or (
        subject == "object" and str(told.get("objectTypeId")) == _CONTACTS
    )
    kind = _KINDS.get(what) if is_contact else None
    hub_id, at = _integer(told.get("portalId")), _integer(told.get("occurredAt"))
    # Of a merge the record that is left is the new one, where one was made, else the primary one.
    contact_id = told.get("newObjectId") or told.get("primaryObjectId") or told.get("objectId")
    if kind is None or hub_id is None or at is None or not 0 < at <= _LATEST_MS:
        return None
    if not _is_id(contact_id):
        return None
    return Told(
        digest=_digest(told),
        hub_id=hub_id,
        kind=kind,
        contact_id=str(contact_id),
        occurred_at=_EPOCH + timedelta(milliseconds=at),
        property_name=_text(told.get("propertyName"))[:200],
        value=_text(told.get("propertyValue")),
        merged_ids=_merged(told) if kind == NoticeKind.MERGED else (),
    )


def _merged(told: Mapping[str, Any]) -> tuple[str, ...]:
    """The records that are no more, the primary one first if another took its place."""
    ids = [told.get("primaryObjectId"), *as_list(told.get("mergedObjectIds"))]
    left = str(told.get("newObjectId") or told.get("primaryObjectId"))
    return tuple(dict.fromkeys(str(one) for one in ids if _is_id(one) and str(one) != left))


def _digest(told: Mapping[str, Any]) -> str:
    """HubSpot does not promise that an event id is unique; with these beside it it is."""
    names = (
        "portalId",
        "eventId",
        "subscriptionType",
        "objectId",
        "primaryObjectId",
        "propertyName",
        "occurredAt",
    )
    identity = [str(told.get(name)) for name in names]
    return hashlib.sha256(orjson.dumps(identity)).hexdigest()


def _integer(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def _is_id(value: Any) -> bool:
    return not isinstance(value, bool) and 0 < len(str(value)) <= 40 and str(value).isalnum()


def _text(value: Any) -> str:
    """As PostgreSQL can hold it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).replace("\0", "")
