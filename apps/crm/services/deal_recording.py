"""Writing down what a call came to for its deals, by compare-and-set on the lease.

A deal that changed while the call was under way stays owed, whatever HubSpot said of what it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from apps.common import clock
from apps.common.retries import retried
from apps.crm.enums import Call, Outcome, SyncState
from apps.crm.hubspot.answers import Answer, HubSpotError
from apps.crm.models import SoldDeal, SyncAttempt
from apps.crm.services import budget
from apps.crm.services.budget import Permit
from apps.crm.services.deal_judging import DealParcel, DealVerdict
from apps.crm.services.recording import outcomes

_COLUMNS = (
    "lease_id",
    "lease_until",
    "claims",
    "state",
    "due_at",
    "synced_revision",
    "synced_at",
    "portal_key",
    "hubspot_id",
    "acknowledged",
    "sending",
    "batch_limit",
    "failures",
    "error_code",
    "error_reason",
    "error_property",
    "error_detail",
)
_TAKEN = (Outcome.SYNCED, Outcome.UNCHANGED)


@dataclass(frozen=True, slots=True)
class DealRound:
    """One call: for whom, which, and by whose leave."""

    account_id: UUID
    call: Call
    permit: Permit


@retried
@transaction.atomic
def note_sending(parcels: Sequence[DealParcel]) -> list[DealParcel]:
    """Before anything is sent: from now on HubSpot may have it, whatever becomes of this process. Returns
    those that may go: not one whose lease another has by now, who may know better."""
    rows = _leased(parcels)
    for parcel in parcels:
        if parcel.id in rows:
            rows[parcel.id].sending = {**(rows[parcel.id].sending or {}), **parcel.payload}
    SoldDeal.objects.bulk_update(rows.values(), ["sending"])
    return [parcel for parcel in parcels if parcel.id in rows]


@retried
@transaction.atomic
def record_unsent(parcels: Sequence[DealParcel]) -> None:
    """Deals for which no call is needed: HubSpot has all of one it knows; another lost its contact since
    it was chosen, and is looked at again."""
    verdicts = []
    for parcel in parcels:
        is_known = parcel.deal.hubspot_id is not None
        verdicts.append(
            DealVerdict(
                parcel,
                Outcome.UNCHANGED if is_known else Outcome.WAITING,
                SyncState.SYNCED if is_known else SyncState.PENDING,
                hubspot_id=parcel.deal.hubspot_id,
                portal_key=parcel.deal.portal_key,
                acknowledged=parcel.deal.acknowledged,
                sending=parcel.deal.sending,
                is_own=False,
            )
        )
    _write(verdicts)


@retried
@transaction.atomic
def record(
    made: DealRound, verdicts: Sequence[DealVerdict], answer: Answer | HubSpotError, seconds: float
) -> None:
    """What became of the deals of a call; of an answer the budget is told, too."""
    written = _write(verdicts)
    SyncAttempt.objects.bulk_create(
        SyncAttempt(
            account_id=made.account_id,
            customer_id=verdict.parcel.id,
            call=made.call,
            outcome=verdict.outcome,
            revision=verdict.parcel.deal.revision,
            status=answer.status,
            code=verdict.fault.code if verdict.fault else "",
            property=verdict.fault.property_name if verdict.fault else "",
            detail=verdict.fault.detail if verdict.fault else "",
            correlation_id=answer.correlation_id,
            batch_size=len(verdicts),
            duration_ms=round(seconds * 1000),
        )
        for verdict in written
    )
    if isinstance(answer, Answer):
        changed = sum(verdict.outcome in _TAKEN for verdict in verdicts)
        budget.succeeded(made.permit, answer.limits, changed=changed)


def _write(verdicts: Sequence[DealVerdict]) -> list[DealVerdict]:
    """Those whose lease was still ours."""
    rows = _leased([verdict.parcel for verdict in verdicts])
    now = clock.now()
    written = [verdict for verdict in verdicts if verdict.parcel.id in rows]
    for verdict in written:
        _apply(rows[verdict.parcel.id], verdict, now)
        outcomes.labels(verdict.outcome.value).inc()
    SoldDeal.objects.bulk_update(rows.values(), _COLUMNS)
    return written


def _leased(parcels: Sequence[DealParcel]) -> dict[UUID, SoldDeal]:
    """The rows of the parcels as they are, locked, less those whose lease went to another."""
    if not parcels:
        return {}
    rows = SoldDeal.objects.select_for_update().filter(
        pk__in=[parcel.id for parcel in parcels], lease_id=parcels[0].deal.lease_id
    )
    return {row.pk: row for row in rows.order_by("pk")}


def _apply(row: SoldDeal, verdict: DealVerdict, now: datetime) -> None:
    is_behind = row.revision > verdict.parcel.deal.revision
    row.lease_id = row.lease_until = None
    row.claims = 0
    row.hubspot_id = verdict.hubspot_id
    row.portal_key = verdict.portal_key
    row.acknowledged = dict(verdict.acknowledged)
    row.sending = dict(verdict.sending) if verdict.sending else None
    if verdict.state == SyncState.SYNCED:
        row.synced_revision, row.synced_at = verdict.parcel.deal.revision, now
    row.state = SyncState.PENDING if is_behind else verdict.state
    if is_behind:
        row.due_at = now
    elif verdict.due_in is not None:
        row.due_at = now + timedelta(seconds=verdict.due_in)
    if row.state != SyncState.PENDING:
        row.due_at = None
    row.batch_limit = None if is_behind else verdict.batch_limit
    row.failures = 0 if is_behind else verdict.failures
    fault = verdict.fault if verdict.is_own and not is_behind else None
    row.error_code = verdict.outcome.value if fault else ""
    row.error_reason = fault.code if fault else ""
    row.error_property = fault.property_name if fault else ""
    row.error_detail = fault.detail if fault else ""
