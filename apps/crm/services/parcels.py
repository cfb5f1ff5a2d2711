"""What is on its way to HubSpot for one customer, and what a call came to for it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from apps.crm.enums import Call, Outcome, SyncState
from apps.crm.models import Contact, Customer
from apps.crm.selectors import Line
from apps.crm.services.mapping import EMAIL, targets, wanted_of
from apps.crm.services.rings import Wish, who_gives_way

_ERRORS = (Outcome.CONFLICT, Outcome.REJECTED, Outcome.WAITING)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A claimed customer: what HubSpot should have of it, and what of that is sent."""

    contact: Contact
    wanted: Mapping[str, str]
    payload: Mapping[str, str]

    @property
    def id(self) -> UUID:
        return self.contact.customer_id

    @property
    def noted(self) -> dict[str, str] | None:
        """What `sending` holds once the payload is noted there."""
        if not self.payload:
            sending: dict[str, str] | None = self.contact.sending
            return sending
        return {**(self.contact.sending or {}), **self.payload}

    @property
    def emails(self) -> list[str]:
        """The addresses by which HubSpot may know it, likeliest first: the last it confirmed, one that
        may have been on its way, the present one."""
        known = (self.contact.acknowledged.get(EMAIL), (self.contact.sending or {}).get(EMAIL))
        return [one for one in dict.fromkeys((*known, self.wanted.get(EMAIL))) if one]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a claimed customer. `due_in` (seconds) matters while it is pending; None leaves its
    due time. `is_certain`: what HubSpot has is known; else what was noted as sent stays noted. `is_own`: the reason is its own, not
    that of all who use the token."""

    parcel: Parcel
    outcome: Outcome
    state: SyncState = SyncState.PENDING
    due_in: float | None = None
    contact_id: str | None = None
    portal_key: str = ""
    acknowledged: Mapping[str, str] = field(default_factory=dict)
    sending: Mapping[str, str] | None = None
    is_certain: bool = True
    batch_limit: int | None = None
    failures: int = 0
    is_own: bool = True
    reason: str = ""
    property_name: str = ""
    detail: str = ""

    def columns(self) -> dict[str, Any]:
        """For the statement that records it."""
        has_error = self.is_own and self.outcome in _ERRORS
        return {
            "id": str(self.parcel.id),
            "revision": self.parcel.contact.revision,
            "state": self.state.value,
            "due_in": self.due_in,
            "contact_id": self.contact_id,
            "portal_key": self.portal_key,
            "acknowledged": self.acknowledged,
            "sending": self.sending,
            "noted": self.parcel.noted,
            "is_certain": self.is_certain,
            "batch_limit": self.batch_limit,
            "failures": min(self.failures, 1000),
            "error_code": self.outcome.value if has_error else "",
            "error_reason": self.reason if has_error else "",
            "error_property": self.property_name if has_error else "",
            "error_detail": self.detail if has_error else "",
        }


def parcels_of(line: Line, call: Call, contacts: Sequence[Contact]) -> list[Parcel]:
    """What each of the claimed contacts is to be sent by `call`; nothing of one erased meanwhile."""
    for (
        contact
    ) in contacts:  # what was confirmed of properties that are mapped no more is not known
        kept = {*targets(line.mapping)} & contact.acknowledged.keys()
        contact.acknowledged = {name: contact.acknowledged[name] for name in kept}
    ids = [contact.pk for contact in contacts]
    wanted = wanted_of(Customer.objects.filter(pk__in=ids, erased_at=None), line.mapping)
    parcels = [
        Parcel(contact, wanted[contact.pk], _payload(line, call, contact, wanted[contact.pk]))
        for contact in sorted(contacts, key=lambda contact: contact.pk)
        if contact.pk in wanted
    ]
    return _making_way(line, parcels) if call == Call.UPDATE else parcels


def _making_way(line: Line, parcels: Sequence[Parcel]) -> list[Parcel]:
    """Those in whose way another one is that waits for them give up their e-mail first."""
    wishes = {
        parcel.id: Wish(has, parcel.wanted[EMAIL])
        for parcel in parcels
        if EMAIL in parcel.payload
        and (has := parcel.contact.acknowledged.get(EMAIL))
        and has != parcel.wanted[EMAIL]
    }
    giving_way = who_gives_way(line, wishes) if wishes else set()
    return [
        replace(parcel, payload={**parcel.payload, EMAIL: ""})
        if parcel.id in giving_way
        else parcel
        for parcel in parcels
    ]


def difference(
    mapping: Mapping[str, str],
    wanted: Mapping[str, str],
    acknowledged: Mapping[str, str],
    uncertain: Iterable[str] = (),
) -> dict[str, str]:
    """What HubSpot lacks: properties that differ from what it confirmed, and those of which it is not
    certain. One that has been emptied here is sent as ""."""
    doubtful = set(uncertain)
    return {
        name: wanted.get(name, "")
        for name in targets(mapping)
        if name in doubtful or wanted.get(name, "") != acknowledged.get(name, "")
    }


def _payload(
    line: Line, call: Call, contact: Contact, wanted: Mapping[str, str]
) -> Mapping[str, str]:
    match call:
        case Call.LOOKUP:
            return {}
        case Call.UPSERT:  # by e-mail HubSpot takes whole contacts only
            return {**difference(line.mapping, wanted, {}, contact.sending or ()), **wanted}
    return difference(line.mapping, wanted, contact.acknowledged, contact.sending or ())
