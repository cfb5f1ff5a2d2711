"""The mapping beside HubSpot's own list of properties: what is missing there, or cannot be written.

Owed by a row and done by `crm.check`, so that no request waits for HubSpot: after every change of the
connection, and when somebody asks.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from apps.common.leases import claim, settle
from apps.common.wakeups import wake_on_commit
from apps.crm import selectors
from apps.crm.enums import FindingCode, FindingLevel
from apps.crm.hubspot.answers import (
    HubSpotError,
    Refused,
    TokenRefused,
    as_list,
    as_object,
    plain_text,
)
from apps.crm.hubspot.client import DEAL_ID, HubSpot
from apps.crm.models import MappingCheck
from apps.crm.selectors import Line
from apps.crm.services.calling import NoLeave, ask
from apps.crm.services.mapping import EMAIL, PREFIX, TOTAL

CHECK = "crm.check"
LEASE_SECONDS = 120.0
ASK_AGAIN = timedelta(seconds=15)
MAX_OPTIONS = 20
MAX_DETAIL = 1000
NOTHING = UUID(int=0)

Described = Mapping[str, Mapping[str, Any]]

# What HubSpot's types can be written with; a property of the customer's own may be anything.
_TEXT = frozenset({"string", "phone_number"})
_TYPES = {
    "orders.count": frozenset({"number", "string"}),
    "orders.last_number": frozenset({"number", "string"}),
    "orders.last_at": frozenset({"datetime", "string"}),
    "orders.last_date": frozenset({"date", "string"}),
}
_OF_TOTAL = frozenset({"number", "string"})
_ANY = frozenset({"string", "phone_number", "number", "date", "datetime", "bool", "enumeration"})
_DEAL_TYPES = {
    "dealname": _TEXT,
    "amount": frozenset({"number"}),
    "deal_currency_code": frozenset({"enumeration", "string"}),
    "closedate": frozenset({"datetime", "date"}),
    "pipeline": frozenset({"enumeration", "string"}),
    "dealstage": frozenset({"enumeration", "string"}),
}


class Entry(NamedTuple):
    """One property that is written: of which field, what kind of values it gets, and which ones if that is
    known."""

    kind: str
    field: str
    name: str
    types: frozenset[str]
    values: tuple[str, ...] = ()


class Finding(NamedTuple):
    """What is to be said of an entry."""

    code: FindingCode
    level: FindingLevel
    detail: str


_FINE = Finding(FindingCode.OK, FindingLevel.OK, "")


@transaction.atomic
def request_check(*, account_id: UUID) -> None:
    """Owe the account a look at its mapping; raises ConnectionNotFound."""
    selectors.connection_in_force(account_id)
    owe_check(account_id)


def owe_check(account_id: UUID) -> None:
    """The same, in the transaction of a change."""
    MappingCheck.objects.bulk_create(
        [MappingCheck(account_id=account_id, due_at=Now())],
        update_conflicts=True,
        unique_fields=["account"],
        update_fields=["due_at"],
    )
    wake_on_commit(CHECK)


def check_next() -> bool:
    """Look at one mapping; False when none is due."""
    claimed = claim(MappingCheck.objects.all(), limit=1, lease_seconds=LEASE_SECONDS)
    if not claimed:
        return False
    (owed,) = claimed
    line = selectors.line(owed.account_id)
    token = selectors.token_of(owed.account_id, line.portal_key) if line else None
    if line is None or token is None:
        _settle(owed, due_at=None, error="There is no token to ask HubSpot with.")
        return True
    try:
        findings = list(_report(HubSpot(token), line))
    except (Refused, TokenRefused) as error:
        _settle(owed, due_at=None, checked_at=Now(), findings=[], error=error.detail)
    except NoLeave:
        _settle(owed, due_at=Now() + ASK_AGAIN)
    except HubSpotError as error:
        _settle(owed, due_at=Now() + ASK_AGAIN, error=error.detail)
    else:
        _settle(owed, due_at=None, checked_at=Now(), findings=findings, error="")
    return True


def entries(line: Line) -> list[Entry]:
    """Every property that the account's settings let us write."""
    found = [Entry("contacts", EMAIL, EMAIL, _TEXT)]
    found += [Entry("contacts", field, name, _types(field)) for field, name in line.mapping.items()]
    if not line.sends_deals:
        return found
    stages = line.deal_stages
    values = {"pipeline": (stages["pipeline"],), "dealstage": (stages["won"], stages["lost"])}
    found += [
        Entry("deals", "", name, types, values.get(name, ())) for name, types in _DEAL_TYPES.items()
    ]
    return [*found, Entry("deals", "", DEAL_ID, _TEXT)]


def look_at(entry: Entry, known: Described, archived: Described) -> Finding:
    """What is wrong with a property, worst first."""
    described = known.get(entry.name)
    if described is None:
        return _absent(entry, archived)
    if described.get("calculated") is True:
        detail = "HubSpot calculates it. Map the field to another property."
        return Finding(FindingCode.CALCULATED, FindingLevel.ERROR, detail)
    if as_object(described.get("modificationMetadata")).get("readOnlyValue") is True:
        detail = "HubSpot lets nobody write it. Map the field to another property."
        return Finding(FindingCode.READ_ONLY, FindingLevel.ERROR, detail)
    if entry.name == DEAL_ID and described.get("hasUniqueValue") is not True:
        detail = "It must be unique. Archive it in HubSpot; it is then made as it must be."
        return Finding(FindingCode.NOT_UNIQUE, FindingLevel.ERROR, detail)
    kind = str(described.get("type") or "")
    if kind not in entry.types:
        wanted = " or ".join(sorted(entry.types))
        detail = f"It is of the type {kind}; choose one of the type {wanted}."
        return Finding(FindingCode.WRONG_TYPE, FindingLevel.ERROR, detail)
    return _values(entry, kind, described)


def _absent(entry: Entry, archived: Described) -> Finding:
    if entry.name in archived:
        detail = "It is archived. Restore it in HubSpot, or map the field to another property."
        return Finding(FindingCode.ARCHIVED, FindingLevel.ERROR, detail)
    if entry.name == DEAL_ID:
        detail = "It is made with the first deal that is sent."
        return Finding(FindingCode.WILL_BE_MADE, FindingLevel.OK, detail)
    detail = "HubSpot has no such property. Make it there, or map the field to another one."
    return Finding(FindingCode.MISSING, FindingLevel.ERROR, detail)


def _values(entry: Entry, kind: str, described: Mapping[str, Any]) -> Finding:
    options = [str(as_object(one).get("value")) for one in as_list(described.get("options"))]
    listed = ", ".join(options[:MAX_OPTIONS]) + (", …" if len(options) > MAX_OPTIONS else "")
    unknown = [one for one in entry.values if options and one not in options]
    if unknown:
        detail = f"It has no option {' and no '.join(unknown)}; it has {listed}."
        return Finding(FindingCode.UNKNOWN_OPTION, FindingLevel.ERROR, detail)
    if entry.values or entry.kind == "deals" or kind in _TEXT or entry.types != _ANY:
        return _FINE
    accepted = f"one of {listed}" if options else f"a {kind}"
    detail = f"HubSpot refuses a customer whose value is not {accepted}."
    return Finding(FindingCode.VALUES_MUST_FIT, FindingLevel.WARNING, detail)


def _report(hubspot: HubSpot, line: Line) -> Iterator[dict[str, str]]:
    wanted = entries(line)
    for kind in dict.fromkeys(entry.kind for entry in wanted):
        known = _list(hubspot, line, kind)
        own = [entry for entry in wanted if entry.kind == kind]
        is_all_there = all(entry.name in known for entry in own)
        archived = {} if is_all_there else _list(hubspot, line, kind, archived=True)
        for entry in own:
            code, level, detail = look_at(entry, known, archived)
            yield {
                "object": kind,
                "field": entry.field,
                "property": entry.name,
                "code": code.value,
                "level": level.value,
                "detail": plain_text(detail)[:MAX_DETAIL],
            }


def _list(hubspot: HubSpot, line: Line, kind: str, *, archived: bool = False) -> Described:
    answer = ask(
        line.portal_key,
        lambda: hubspot.properties(kind, archived=archived),
        may_lack_scope=kind == "deals",
    )
    rows = map(as_object, as_list(answer.body.get("results")))
    return {str(row.get("name")): row for row in rows}


def _types(field: str) -> frozenset[str]:
    if field.startswith(PREFIX):
        return _ANY
    return _OF_TOTAL if field.startswith(TOTAL) else _TYPES.get(field, _TEXT)


def _settle(owed: MappingCheck, **outcome: Any) -> None:
    settle(MappingCheck, owed.pk, owed.lease_id or NOTHING, **outcome)
