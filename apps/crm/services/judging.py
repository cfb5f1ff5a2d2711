"""What an answer of HubSpot's means, customer by customer: the decision table of docs/crm.md."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from apps.crm.enums import Call, Outcome, SyncState
from apps.crm.hubspot.answers import (
    Answer,
    Fault,
    HubSpotError,
    Record,
    Refused,
    Unavailable,
)
from apps.crm.models import Contact
from apps.crm.selectors import Line
from apps.crm.services.budget import backoff
from apps.crm.services.mapping import EMAIL, targets
from apps.crm.services.parcels import Parcel, Verdict, difference

LONGEST_WAIT_SECONDS = 600.0
# So often a customer is tried again whose outcome HubSpot does not tell, or which waits for another.
MAX_FAILURES = 5
# They concern every customer that has the property, so no batch is searched for the one to blame.
_OF_THE_MAPPING = frozenset({"PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE"})
# What is told of a customer whose contact has given up its address for another one's sake.
_ROOM_MADE: dict[str, Any] = {
    "reason": "EMAIL_PASSED_ON",
    "property_name": EMAIL,
    "detail": "Its last e-mail is another customer's by now, whose last one it gets next.",
}


def judge(line: Line, call: Call, parcels: Sequence[Parcel], answer: Answer) -> list[Verdict]:
    """After a 2xx: each parcel's record or fault decides; without either nothing is known."""
    judge = _Judge(line, call, parcels, answer.faults)
    if call == Call.LOOKUP:
        return judge.lookup(answer)
    return judge.write(answer)


def judge_failure(
    line: Line, call: Call, parcels: Sequence[Parcel], error: HubSpotError
) -> list[Verdict]:
    """After anything else: a refusal is the fault of one of them, all other errors of none."""
    if isinstance(error, Refused):
        return _Judge(line, call, parcels, [error.fault]).refusal(error.fault)
    return [_waiting(parcel, error, len(parcels)) for parcel in parcels]


class _Judge:
    """The customers of one call, and what must be known of others to judge them."""

    def __init__(
        self, line: Line, call: Call, parcels: Sequence[Parcel], faults: Sequence[Fault]
    ) -> None:
        self._line = line
        self._call = call
        self._parcels = parcels
        self._faults = faults

    def lookup(self, answer: Answer) -> list[Verdict]:
        """By e-mail: who is not among the records is not in HubSpot."""
        by_email = {email: record for record in answer.records for email in record.emails}
        found = {
            parcel.id: next((by_email[one] for one in parcel.emails if one in by_email), None)
            for parcel in self._parcels
        }
        holders = self._holders(record.id for record in found.values() if record is not None)
        faults = self._faults_by(lambda parcel: parcel.emails)
        verdicts = []
        for parcel in self._parcels:
            record, fault = found[parcel.id], faults.get(parcel.id)
            if record is not None:
                verdicts.append(self._found(parcel, record, holders))
            elif answer.says_nothing:
                verdicts.append(self._unknown(parcel))
            elif fault is not None:
                verdicts.append(self._faulty(parcel, fault))
            else:
                verdicts.append(self._missing(parcel))
        return verdicts

    def write(self, answer: Answer) -> list[Verdict]:
        """By record id, trace id or e-mail, whichever HubSpot gives back."""
        traced = {record.trace: record for record in answer.records if record.trace}
        known = {record.id: record for record in answer.records}
        by_email = {email: record for record in answer.records for email in record.emails}
        holders = self._holders(known)
        faults = self._faults_by(lambda parcel: [self._trace(parcel), *parcel.emails])
        verdicts = []
        for parcel in self._parcels:
            fault = faults.get(parcel.id)
            if self._call == Call.UPDATE:
                asked = parcel.contact.contact_id or ""
                record = known.get(asked) or traced.get(asked)  # another one: it was merged
            else:
                record = traced.get(str(parcel.id)) or by_email.get(parcel.wanted[EMAIL])
            if record is not None:
                verdicts.append(self._written(parcel, record, holders))
            elif fault is not None:
                verdicts.append(self._faulty(parcel, fault))
            else:
                verdicts.append(self._unknown(parcel))
        return verdicts

    def refusal(self, fault: Fault) -> list[Verdict]:
        """The whole call was refused: at once if it is the mapping's fault or that of the only one, else
        in smaller batches, until the one to blame is alone."""
        if len(self._parcels) == 1:
            return [self._faulty(self._parcels[0], fault)]
        if fault.code in _OF_THE_MAPPING and fault.property_name in targets(self._line.mapping):
            return [
                self._faulty(parcel, fault)
                if fault.property_name in parcel.payload
                else _as_it_was(parcel, Outcome.WAITING, fault)
                for parcel in self._parcels
            ]
        half = len(self._parcels) // 2
        return [
            _as_it_was(parcel, Outcome.WAITING, fault, batch_limit=half) for parcel in self._parcels
        ]

    # One customer

    def _found(self, parcel: Parcel, record: Record, holders: dict[str, UUID]) -> Verdict:
        if holders.setdefault(record.id, parcel.id) != parcel.id:
            return self._shared(parcel, record.id)
        acknowledged = self._confirmed(parcel, record)
        lacks = difference(self._line.mapping, parcel.wanted, acknowledged)
        return Verdict(
            parcel,
            Outcome.FOUND if lacks else Outcome.UNCHANGED,
            SyncState.PENDING if lacks else SyncState.SYNCED,
            contact_id=record.id,
            portal_key=self._line.portal_key,
            acknowledged=acknowledged,
            failures=parcel.contact.failures if lacks else 0,
        )

    def _confirmed(self, parcel: Parcel, record: Record) -> dict[str, str]:
        """What HubSpot has of what is ours to say; what it has of its own it keeps."""
        ours = {*parcel.wanted, *parcel.contact.acknowledged, *(parcel.contact.sending or ())}
        confirmed = {
            name: value
            for name in targets(self._line.mapping)
            if name in ours and (value := record.properties.get(name))
        }
        if parcel.wanted[EMAIL] in record.emails:  # be it as an additional one
            confirmed[EMAIL] = parcel.wanted[EMAIL]
        return confirmed

    def _missing(self, parcel: Parcel) -> Verdict:
        """With nothing confirmed and nothing under way, the next call makes it, if it is to be made."""
        creates = self._line.creates_missing
        return Verdict(
            parcel,
            Outcome.MISSING if creates else Outcome.SKIPPED,
            SyncState.PENDING if creates else SyncState.SKIPPED,
            failures=parcel.contact.failures,
        )

    def _written(self, parcel: Parcel, record: Record, holders: dict[str, UUID]) -> Verdict:
        if holders.setdefault(record.id, parcel.id) != parcel.id:
            return self._shared(parcel, record.id)
        present = {**parcel.contact.acknowledged, **parcel.payload}
        known: dict[str, Any] = {
            "contact_id": record.id,
            "portal_key": self._line.portal_key,
            "acknowledged": {name: value for name, value in present.items() if value != ""},
        }
        if parcel.payload.get(EMAIL) == "" and parcel.wanted[EMAIL]:
            return Verdict(parcel, Outcome.WAITING, due_in=0.0, **known, **_ROOM_MADE)
        return Verdict(parcel, Outcome.SYNCED, SyncState.SYNCED, **known)

    def _faulty(self, parcel: Parcel, fault: Fault) -> Verdict:
        contact = parcel.contact
        if fault.is_missing:
            is_lookup = self._call == Call.LOOKUP
            return self._missing(parcel) if is_lookup else self._lost(parcel, fault)
        if fault.is_passing:
            return _again(parcel, fault)
        if fault.is_conflict:
            if self._will_pass(fault) and contact.failures < MAX_FAILURES:
                return _again(parcel, fault)
            return _as_it_was(parcel, Outcome.CONFLICT, fault, state=SyncState.FAILED)
        return _as_it_was(parcel, Outcome.REJECTED, fault, state=SyncState.FAILED)

    def _lost(self, parcel: Parcel, fault: Fault) -> Verdict:
        """Its contact is gone: it is looked for by e-mail, once; HubSpot may contradict itself."""
        failures = parcel.contact.failures + 1
        if failures > MAX_FAILURES:
            return _as_it_was(parcel, Outcome.REJECTED, fault, state=SyncState.FAILED)
        return Verdict(
            parcel,
            Outcome.MISSING,
            due_in=None if failures == 1 else backoff(failures, LONGEST_WAIT_SECONDS),
            acknowledged=parcel.contact.acknowledged,
            sending=parcel.contact.sending,
            failures=failures,
            reason=fault.code,
            detail=fault.detail,
        )

    def _unknown(self, parcel: Parcel) -> Verdict:
        """HubSpot said neither yes nor no: what it has is read back before anything else is sent."""
        fault = Fault("NO_RESULT", "HubSpot's answer does not mention this customer.")
        failures = parcel.contact.failures + 1
        if failures > MAX_FAILURES:
            return _as_it_was(
                parcel, Outcome.REJECTED, fault, state=SyncState.FAILED, is_certain=False
            )
        return Verdict(
            parcel,
            Outcome.WAITING,
            due_in=backoff(failures, LONGEST_WAIT_SECONDS),
            acknowledged=parcel.contact.acknowledged,
            is_certain=False,
            failures=failures,
            reason=fault.code,
            detail=fault.detail,
        )

    def _shared(self, parcel: Parcel, contact_id: str) -> Verdict:
        detail = f"Contact {contact_id} has this address, and belongs to another customer of yours."
        fault = Fault("CONTACT_SHARED", detail)
        return Verdict(
            parcel,
            Outcome.CONFLICT,
            SyncState.FAILED,
            reason=fault.code,
            property_name=EMAIL,
            detail=fault.detail,
        )

    # Others

    def _holders(self, contact_ids: Iterable[str]) -> dict[str, UUID]:
        """Whose the contacts are already; one that is nobody's goes to the first who gets it."""
        rows = Contact.objects.filter(
            account_id=self._line.account_id,
            portal_key=self._line.portal_key,
            contact_id__in=list(contact_ids),
        )
        return {row.contact_id or "": row.pk for row in rows}

    def _will_pass(self, fault: Fault) -> bool:
        """Whether the contact in the way is that of a customer who is about to change."""
        return Contact.objects.filter(
            account_id=self._line.account_id,
            portal_key=self._line.portal_key,
            contact_id=fault.existing_id,
            state=SyncState.PENDING,
        ).exists()

    def _trace(self, parcel: Parcel) -> str:
        """What the call names the customer by."""
        if self._call == Call.UPDATE:
            return parcel.contact.contact_id or ""
        return str(parcel.id)

    def _faults_by(self, names: Callable[[Parcel], Sequence[str]]) -> dict[UUID, Fault]:
        """The fault of each parcel that one names, by id or trace."""
        by_name = {name: fault for fault in self._faults for name in (*fault.ids, *fault.traces)}
        return {
            parcel.id: by_name[name]
            for parcel in self._parcels
            for name in names(parcel)
            if name in by_name
        }


def _waiting(parcel: Parcel, error: HubSpotError, size: int) -> Verdict:
    """The call came to nothing, or to nothing known. What stops all calls is told of all customers;
    only a failure that this one may have caused is its own: the second time it goes with fewer others,
    until the one that HubSpot breaks on is alone."""
    contact = parcel.contact
    is_own = isinstance(error, Unavailable)
    limit = contact.batch_limit
    if is_own and contact.failures and size > 1:
        limit = size // 2
    return Verdict(
        parcel,
        Outcome.WAITING,
        due_in=backoff(contact.failures, LONGEST_WAIT_SECONDS) if is_own else None,
        contact_id=contact.contact_id,
        portal_key=contact.portal_key,
        acknowledged=contact.acknowledged,
        sending=contact.sending,
        is_certain=not is_own,
        batch_limit=limit,
        failures=contact.failures + (1 if is_own else 0),
        is_own=is_own,
        reason=error.reason,
        detail=error.detail,
    )


def _again(parcel: Parcel, fault: Fault) -> Verdict:
    failures = parcel.contact.failures + 1
    wait = backoff(failures, LONGEST_WAIT_SECONDS)
    return _as_it_was(parcel, Outcome.WAITING, fault, due_in=wait, failures=failures)


def _as_it_was(parcel: Parcel, outcome: Outcome, fault: Fault, **more: Any) -> Verdict:
    """HubSpot took nothing of it."""
    contact = parcel.contact
    return Verdict(
        parcel,
        outcome,
        contact_id=contact.contact_id,
        portal_key=contact.portal_key,
        acknowledged=contact.acknowledged,
        sending=contact.sending,
        reason=fault.code,
        property_name=fault.property_name,
        detail=fault.detail,
        **more,
    )
