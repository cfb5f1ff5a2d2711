"""What HubSpot answers, and what can go wrong with it, read from plain JSON.

Every member of an error is optional, and a 2xx may hold errors. Source of the formats:
https://developers.hubspot.com/docs/api-reference/error-handling
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

_EXISTING_ID = re.compile(r"Existing ID: (\d+)")
_MISSING = frozenset({"OBJECT_NOT_FOUND"})
_CONFLICTS = frozenset({"CONFLICT", "OBJECT_ALREADY_EXISTS", "CONTACT_EXISTS"})
_PASSING = frozenset({"RATE_LIMITS", "LOCKED", "INTERNAL_ERROR", "TIMEOUT", "SERVICE_UNAVAILABLE"})
# 423: a lock, held for 2 s at the most. 477: the account is being moved, `Retry-After` up to 24 h.
_LOCKED, _MOVING = 423, 477
_TRANSIENT = frozenset({408, 421, 425, _LOCKED, _MOVING})
_LOCK_SECONDS = 2.0
# Whatever an answer says, HubSpot is asked again within two days.
LONGEST_SECONDS = 172_800.0
LONGEST_INTERVAL_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the headers of an answer tell of the limits; None where they do not."""

    calls: int | None = None
    interval_seconds: float | None = None
    daily: int | None = None
    daily_remaining: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A contact as an answer holds it; `trace` is ours, where HubSpot gives it back; `updated_ms` 0 where
    it does not say when the contact last changed."""

    id: str
    properties: Mapping[str, str | None]
    trace: str = ""
    is_new: bool = False
    updated_ms: int = 0

    @property
    def emails(self) -> list[str]:
        """Every address by which it is found, the main one first, in lower case."""
        more = (self.properties.get("hs_additional_emails") or "").split(";")
        return [one.lower() for one in (self.properties.get("email"), *more) if one]

    @property
    def merged_ids(self) -> list[str]:
        """Of the contacts that were merged into it; known where that property was asked for."""
        names = (self.properties.get("hs_merged_object_ids") or "").split(";")
        return [name for name in names if name]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why HubSpot refused a record, or a whole call: its code and words, the property if it names one,
    the inputs concerned (`ids`, `traces`; empty when it does not say)."""

    code: str
    detail: str
    property_name: str = ""
    ids: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()
    existing_id: str = ""
    category: str = ""

    @property
    def is_missing(self) -> bool:
        """There is no such record."""
        return self.category in _MISSING or self.code in _MISSING

    @property
    def is_conflict(self) -> bool:
        """Another record has what this one is to have."""
        return self.category in _CONFLICTS or self.code in _CONFLICTS

    @property
    def is_passing(self) -> bool:
        """It has nothing to do with the record: the same one may be taken later."""
        return self.category in _PASSING


@dataclass(frozen=True, slots=True)
class Answer:
    """A call that HubSpot answered with 2xx. `says_nothing`: not even that there is nothing."""

    status: int
    records: tuple[Record, ...] = ()
    faults: tuple[Fault, ...] = ()
    says_nothing: bool = False
    body: Mapping[str, Any] = field(default_factory=dict)
    correlation_id: str = ""
    limits: Limits = field(default_factory=Limits)

    @property
    def next_place(self) -> str:
        """Of a page: where the next one begins; "" after the last."""
        paging = as_object(as_object(self.body.get("paging")).get("next"))
        return plain_text(paging.get("after") or "")[:200]

    @property
    def total(self) -> int | None:
        """Of a search: how many there are."""
        found = self.body.get("total")
        return found if isinstance(found, int) and 0 <= found < 2**31 else None


class HubSpotError(Exception):
    """A call that had no effect that we know of. `reason` is HubSpot's code, `status` None when there was
    no answer, `retry_after` (seconds) None when HubSpot gave no hint."""

    def __init__(
        self,
        detail: str,
        *,
        reason: str = "",
        status: int | None = None,
        retry_after: float | None = None,
        correlation_id: str = "",
        limits: Limits | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail[:1000]
        self.reason = reason
        self.status = status
        self.retry_after = retry_after
        self.correlation_id = correlation_id
        self.limits = limits or Limits()


class TokenRefused(HubSpotError):
    """401 or 403: the token is void or lacks scopes."""


class Throttled(HubSpotError):
    """429 of a short limit; `retry_after` is set."""


class DailyLimitReached(HubSpotError):
    """429 of the day's limit, which all apps of a HubSpot account share."""


class Unavailable(HubSpotError):
    """No answer, an unreadable one, or one that says to come back: 408, 423, 477, 5xx."""


class Refused(HubSpotError):
    """Another 4xx: the call as it is will never be accepted."""

    def __init__(self, fault: Fault, **answer: Any) -> None:
        super().__init__(fault.detail, reason=fault.code, **answer)
        self.fault = fault


def answer_of(status: int, headers: Mapping[str, str], raw: bytes) -> Answer:
    """A 2xx; raises Unavailable when it cannot be read."""
    try:
        body = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError:
        raise Unavailable(
            "HubSpot's answer is no JSON.", reason="MALFORMED", status=status
        ) from None
    answer = as_object(body)
    return Answer(
        status=status,
        records=tuple(
            record for record in map(_record, as_list(answer.get("results"))) if _is_id(record.id)
        ),
        faults=tuple(_fault(one) for one in as_list(answer.get("errors"))),
        says_nothing="results" not in answer and "errors" not in answer,
        body=answer,
        correlation_id=_correlation_id(headers, answer),
        limits=_limits(headers),
    )


def refusal_of(status: int, headers: Mapping[str, str], raw: str | bytes | None) -> HubSpotError:
    """The error for an answer that is not 2xx."""
    body = as_object(_parsed(raw))
    fault = _fault(body)
    facts: dict[str, Any] = {
        "status": status,
        "retry_after": _retry_after(headers),
        "correlation_id": _correlation_id(headers, body),
        "limits": _limits(headers),
    }
    if status in (401, 403):
        return TokenRefused(_with_scopes(body, fault.detail), reason=fault.code, **facts)
    if status == 429:
        return _throttled(body, fault, facts)
    if status == _LOCKED:
        facts["retry_after"] = max(facts["retry_after"] or 0.0, _LOCK_SECONDS)
    if status in _TRANSIENT or status >= 500 or status < 400:
        return Unavailable(fault.detail, reason=fault.code or f"HTTP_{status}", **facts)
    if not fault.category:
        kind = "CONFLICT" if status == 409 else f"HTTP_{status}"
        fault = replace(fault, code=fault.code or kind, category=kind)
    return Refused(fault, **facts)


def _throttled(body: Mapping[str, Any], fault: Fault, facts: dict[str, Any]) -> HubSpotError:
    """Without a hint the policy says how long: a second, or the ten of the rolling window."""
    policy = plain_text(body.get("policyName") or "").upper()[:100]
    if policy.startswith("DAILY") or "daily limit" in fault.detail.lower():
        return DailyLimitReached(fault.detail, reason="DAILY", **facts)
    if facts["retry_after"] is None:
        facts["retry_after"] = 1.0 if policy.startswith("SECONDLY") else 10.0
    return Throttled(fault.detail, reason=policy or "RATE_LIMIT", **facts)


def _record(found: Any) -> Record:
    record = as_object(found)
    return Record(
        id=str(record.get("id") or ""),
        properties={
            name: plain_text(value) if isinstance(value, str) else None
            for name, value in as_object(record.get("properties")).items()
        },
        trace=str(record.get("objectWriteTraceId") or ""),
        is_new=record.get("new") is True,
        updated_ms=_milliseconds(record.get("updatedAt")),
    )


def _milliseconds(value: Any) -> int:
    """Since 1970; 0 when it is no time."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return 0
    return round(moment.timestamp() * 1000) if moment.tzinfo else 0


def _is_id(text: str) -> bool:
    """Whether it may be a record's: anything else is no record that we could name to HubSpot again."""
    return 0 < len(text) <= 40 and text.isascii() and text.isalnum()


def _fault(found: Any) -> Fault:
    """From a body or one of its `errors`; every member of either is optional."""
    error = as_object(found)
    context = as_object(error.get("context"))
    detail = plain_text(error.get("message") or "HubSpot gave no reason.")
    part = _part(error, detail)
    category = str(error.get("category") or error.get("errorType") or "")
    existing = _EXISTING_ID.search(detail)
    return Fault(
        code=plain_text(part.get("code") or error.get("subCategory") or category)[:100],
        detail=plain_text(part.get("message") or detail)[:1000],
        property_name=plain_text(part.get("property") or "")[:200],
        ids=tuple(_texts(context.get("ids")) + _texts(context.get("id"))),
        traces=tuple(_texts(context.get("objectWriteTraceId"))),
        existing_id=(
            existing[1] if existing else next(iter(_texts(context.get("existingId"))), "")
        ),
        category=category,
    )


def _part(error: Mapping[str, Any], detail: str) -> dict[str, Any]:
    """What is said of a property: in `errors`, or as JSON within the message."""
    for one in map(as_object, as_list(error.get("errors"))):
        names = _texts(as_object(one.get("context")).get("propertyName")) + _texts(one.get("in"))
        if one.get("code") or names:
            return {**one, "property": names[0] if names else ""}
    start = detail.find("[{")
    if start >= 0:
        for one in map(as_object, as_list(_parsed(detail[start : detail.rfind("]") + 1]))):
            return {
                "code": one.get("error"),
                "message": one.get("message"),
                "property": one.get("name"),
            }
    return {}


def _with_scopes(body: Mapping[str, Any], detail: str) -> str:
    for one in (body, *map(as_object, as_list(body.get("errors")))):
        scopes = _texts(as_object(one.get("context")).get("requiredGranularScopes"))
        if scopes:
            return f"{detail} Required: {', '.join(scopes)}."
    return detail


def _limits(headers: Mapping[str, str]) -> Limits:
    """A limit by which nothing could ever be asked again is none."""
    interval = _number(headers.get("X-HubSpot-RateLimit-Interval-Milliseconds"))
    return Limits(
        calls=_number(headers.get("X-HubSpot-RateLimit-Max")) or None,
        interval_seconds=min(interval / 1000, LONGEST_INTERVAL_SECONDS) if interval else None,
        daily=_number(headers.get("X-HubSpot-RateLimit-Daily")),
        daily_remaining=_number(headers.get("X-HubSpot-RateLimit-Daily-Remaining")),
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """In seconds; HTTP allows a number of them or a date."""
    value = headers.get("Retry-After")
    if value is None:
        return None
    try:
        number = float(value)
        return None if math.isnan(number) else min(max(number, 0.0), LONGEST_SECONDS)
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        return None
    wait = (moment - datetime.now(UTC)).total_seconds()
    return min(max(wait, 0.0), LONGEST_SECONDS)


def _correlation_id(headers: Mapping[str, str], body: Mapping[str, Any]) -> str:
    given = body.get("correlationId") or headers.get("x-hubspot-correlation-id") or ""
    return plain_text(given)[:100]


def _number(value: str | None) -> int | None:
    text = (value or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def _parsed(raw: str | bytes | None) -> Any:
    """JSON, or None."""
    try:
        return orjson.loads(raw or b"")
    except orjson.JSONDecodeError:
        return None


def as_object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    """HubSpot gives one or a list of them."""
    if value is None:
        return []
    return [plain_text(one) for one in (value if isinstance(value, list) else [value])]


def plain_text(value: Any) -> str:
    """As text that PostgreSQL can hold."""
    return str(value).replace("\0", "")
