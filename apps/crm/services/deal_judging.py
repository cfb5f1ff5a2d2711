"""What an answer of HubSpot's means, deal by deal: the decision table of docs/crm.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from apps.crm.hubspot.client import DEAL_ID
from apps.crm.models import SoldDeal
from apps.crm.selectors import Line
from apps.crm.services.budget import backoff
from apps.crm.services.deals import NO_CONTACT
from apps.crm.services.judging import LONGEST_WAIT_SECONDS, MAX_FAILURES

_UNKNOWN_PROPERTY = "PROPERTY_DOESNT_EXIST"
_NO_SUCH_CONTACT = "associated objects do not exist"
_NO_ROW = Fault("NO_RESULT", "HubSpot's answer does not mention this deal.")


@dataclass(frozen=True, slots=True)
class DealParcel:
    """A claimed deal, what HubSpot should have of it, and with which contact it is made."""

    deal: SoldDeal
    wanted: Mapping[str, str]
    call: Call
    contact_id: str = ""

    @property
    def id(self) -> UUID:
        return self.deal.pk

    @property
    def payload(self) -> dict[str, str]:
        """What differs from what HubSpot confirmed, and what is in doubt."""
        if self.call == Call.FIND_DEALS:
            return {}
        doubtful = self.deal.sending or {}
        known = self.deal.acknowledged
        return {
            name: value
            for name, value in self.wanted.items()
            if name in doubtful or value != known.get(name)
        }

    @property
    def is_ready(self) -> bool:
        """Whether there is something to ask HubSpot."""
        match self.call:
            case Call.MAKE_DEALS:
                return bool(self.contact_id)
            case Call.UPDATE_DEALS:
                return bool(self.payload)
        return True


@dataclass(frozen=True, slots=True)
class DealVerdict:
    """What becomes of a claimed deal. `due_in` (seconds) matters while it is pending; None leaves its
    due time. `is_own`: the reason is
    its own, not that of all who use the token."""

    parcel: DealParcel
    outcome: Outcome
    state: SyncState = SyncState.PENDING
    due_in: float | None = None
    hubspot_id: str | None = None
    portal_key: str = ""
    acknowledged: Mapping[str, str] = field(default_factory=dict)
    sending: Mapping[str, str] | None = None
    batch_limit: int | None = None
    failures: int = 0
    is_own: bool = True
    fault: Fault | None = None


def judge(
    line: Line, call: Call, parcels: Sequence[DealParcel], answer: Answer
) -> list[DealVerdict]:
    """After a 2xx: each deal's record or fault decides; without either nothing is known."""
    by_name: dict[str, Record] = {}
    for one in answer.records:
        for known in (one.properties.get(DEAL_ID), one.trace, one.id):
            if known:
                by_name[known] = one
    faults = {name: one for one in answer.faults for name in (*one.ids, *one.traces)}
    verdicts = []
    for parcel in parcels:
        name = parcel.deal.hubspot_id if call == Call.UPDATE_DEALS else str(parcel.id)
        record, fault = by_name.get(name or ""), faults.get(name or "")
        if record is not None:
            verdicts.append(_there(line, parcel, record))
        elif fault is not None:
            verdicts.append(_faulty(parcel, fault))
        elif call == Call.FIND_DEALS and not answer.says_nothing:
            verdicts.append(_missing(parcel))
        else:
            verdicts.append(_unknown(parcel))
    return verdicts


def judge_failure(parcels: Sequence[DealParcel], error: HubSpotError) -> list[DealVerdict]:
    """After anything else: a refusal is the fault of one of them, all other errors of none."""
    if not isinstance(error, Refused):
        return [_waiting(parcel, error, len(parcels)) for parcel in parcels]
    fault = error.fault
    if len(parcels) == 1 or fault.code == _UNKNOWN_PROPERTY:  # which concerns all of them
        return [_faulty(parcel, fault) for parcel in parcels]
    # Smaller batches, until the one to blame is alone.
    limit = len(parcels) // 2
    return [
        replace(
            _as_it_was(parcel, Outcome.WAITING, fault),
            batch_limit=limit,
            sending=_in_doubt(parcel) if _is_taken(fault) else parcel.deal.sending,
        )
        for parcel in parcels
    ]


def lacks_property(verdicts: Sequence[DealVerdict]) -> bool:
    """Whether HubSpot has our unique property no longer."""
    return any(verdict.fault and _is_without_property(verdict.fault) for verdict in verdicts)


def _there(line: Line, parcel: DealParcel, record: Record) -> DealVerdict:
    if parcel.call == Call.FIND_DEALS:
        has = {name: record.properties.get(name) or "" for name in parcel.wanted}
    else:
        has = {**parcel.deal.acknowledged, **parcel.payload}
    is_all = all(has.get(name) == value for name, value in parcel.wanted.items())
    found = Outcome.UNCHANGED if is_all else Outcome.FOUND
    return DealVerdict(
        parcel,
        found if parcel.call == Call.FIND_DEALS else Outcome.SYNCED,
        SyncState.SYNCED if is_all else SyncState.PENDING,
        hubspot_id=record.id,
        portal_key=line.portal_key,
        acknowledged=has,
    )


def _missing(parcel: DealParcel) -> DealVerdict:
    """It was never made, or HubSpot's people have deleted it before it was confirmed here: it is made."""
    deal = parcel.deal
    return DealVerdict(
        parcel, Outcome.MISSING, failures=deal.failures, batch_limit=deal.batch_limit
    )


def _faulty(parcel: DealParcel, fault: Fault) -> DealVerdict:
    if fault.is_missing or _lacks_contact(parcel, fault):
        return _gone(parcel, fault)
    if fault.is_passing:
        return _later(parcel, fault)
    if _is_without_property(fault) and parcel.deal.failures < MAX_FAILURES:
        return _later(parcel, fault)
    if _is_taken(fault) and parcel.deal.failures < MAX_FAILURES:
        # One with our property is there: an earlier call made it, and its answer never came.
        return replace(
            _as_it_was(parcel, Outcome.WAITING, fault),
            sending=_in_doubt(parcel),
            failures=parcel.deal.failures + 1,
        )
    return replace(_as_it_was(parcel, Outcome.REJECTED, fault), state=SyncState.FAILED)


def _gone(parcel: DealParcel, fault: Fault) -> DealVerdict:
    """HubSpot has no such deal, or no longer the contact that one is to be made with."""
    if parcel.call == Call.FIND_DEALS:
        return _missing(parcel)
    if parcel.call == Call.MAKE_DEALS:
        gone = Fault(
            NO_CONTACT, f"HubSpot has the buyer's contact no longer. {fault.detail}"[:1000]
        )
    else:  # whoever deleted it may have had reasons: it is not made again by itself
        gone = Fault("DELETED_IN_HUBSPOT", f"HubSpot has the deal no longer. {fault.detail}"[:1000])
    return DealVerdict(parcel, Outcome.SKIPPED, SyncState.SKIPPED, fault=gone)


def _unknown(parcel: DealParcel) -> DealVerdict:
    """HubSpot said neither yes nor no: it is looked for before anything else is sent."""
    verdict = replace(_later(parcel, _NO_ROW), hubspot_id=None, sending=_in_doubt(parcel))
    if verdict.failures > MAX_FAILURES:
        return replace(verdict, outcome=Outcome.REJECTED, state=SyncState.FAILED)
    return verdict


def _waiting(parcel: DealParcel, error: HubSpotError, size: int) -> DealVerdict:
    """The call came to nothing, or to nothing known. Only a failure that this deal may have caused is its
    own: the second time it goes with fewer others, until the one that HubSpot breaks on is alone."""
    fault = Fault(error.reason, error.detail)
    if not isinstance(error, Unavailable):
        return replace(_as_it_was(parcel, Outcome.WAITING, fault), is_own=False)
    is_split = parcel.deal.failures and size > 1
    return replace(
        _later(parcel, fault),
        sending=_in_doubt(parcel),
        batch_limit=size // 2 if is_split else parcel.deal.batch_limit,
    )


def _later(parcel: DealParcel, fault: Fault) -> DealVerdict:
    wait = backoff(parcel.deal.failures, LONGEST_WAIT_SECONDS)
    failures = parcel.deal.failures + 1
    return replace(_as_it_was(parcel, Outcome.WAITING, fault), due_in=wait, failures=failures)


def _as_it_was(parcel: DealParcel, outcome: Outcome, fault: Fault) -> DealVerdict:
    """HubSpot took nothing of it."""
    deal = parcel.deal
    return DealVerdict(
        parcel,
        outcome,
        hubspot_id=deal.hubspot_id,
        portal_key=deal.portal_key,
        acknowledged=deal.acknowledged,
        sending=deal.sending,
        failures=deal.failures,
        fault=fault,
    )


def _in_doubt(parcel: DealParcel) -> dict[str, str] | None:
    return {**(parcel.deal.sending or {}), **parcel.payload} or None


def _is_without_property(fault: Fault) -> bool:
    return fault.code == _UNKNOWN_PROPERTY and fault.property_name == DEAL_ID


def _lacks_contact(parcel: DealParcel, fault: Fault) -> bool:
    """HubSpot says so by words alone: the code is that of any invalid value."""
    return parcel.call == Call.MAKE_DEALS and _NO_SUCH_CONTACT in fault.detail


def _is_taken(fault: Fault) -> bool:
    """Another deal has our unique property's value."""
    return fault.code == "CONFLICTING_UNIQUE_VALUE" or fault.is_conflict
