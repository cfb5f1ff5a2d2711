"""The sync: takes what is owed to HubSpot there, up to 100 customers a call, with the fewest calls.

Each step makes one call at the most, and its outcome is recorded before the next: a worker killed
anywhere leaves one batch under a lease that runs out, and of that batch only what is noted in `sending`
is in doubt, which is sent again. No transaction is open while HubSpot is asked.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import accumulate
from uuid import UUID

import structlog
from django.db.models import (
    Case,
    CharField,
    Q,
    Value,
    When,
)
from django.db.models.fields.json import KT

from apps.common.wakeups import wake
from apps.crm import selectors
from apps.crm.enums import Call, Outcome, SyncState
from apps.crm.hubspot.answers import Answer, DailyLimitReached, HubSpotError, Refused
from apps.crm.hubspot.client import MAX_BATCH, HubSpot
from apps.crm.models import Contact
from apps.crm.selectors import Line
from apps.crm.services import budget, recording
from apps.crm.services.batching import serve_one, take_batch
from apps.crm.services.customers import SYNC
from apps.crm.services.judging import judge, judge_failure
from apps.crm.services.mapping import EMAIL, targets
from apps.crm.services.parcels import Parcel, Verdict, parcels_of
from apps.crm.services.recording import Round

# Lookups before others: their finds go with an update.
_ORDER = (Call.LOOKUP, Call.UPSERT, Call.UPDATE)

log = structlog.get_logger(__name__)


def sync_some() -> bool:
    """Make one call, for any of the accounts that wait and may call; False when there is none."""
    return serve_one(selectors.lines_waiting(), _sync, SYNC)


def _sync(line: Line) -> bool:
    token = selectors.token_of(line.account_id, line.portal_key)
    contacts = Contact.objects.annotate(call=_call_needed(line))
    batch = take_batch(SYNC, line, contacts, _ORDER) if token else None
    if token is None or batch is None:
        return False
    if not batch.rows:  # somebody holds them
        budget.give_back(batch.permit)
        return True
    if batch.is_full:
        wake(SYNC)  # there may be work for one more
    lease_id: UUID = batch.rows[0].lease_id  # type: ignore[assignment]  # just claimed
    parcels = parcels_of(line, batch.call, batch.rows)
    if batch.call == Call.UPDATE:
        parcels = _settle_unchanged(line, lease_id, parcels)
    if batch.call == Call.LOOKUP:
        parcels = _fitting(lease_id, parcels)
    if not parcels:
        budget.give_back(batch.permit)
    else:
        made = Round(line.account_id, batch.call, batch.permit, lease_id)
        _deliver(HubSpot(token), line, made, parcels)
    return True


def _call_needed(line: Line) -> Case:
    """By id where it is known here; where HubSpot has never confirmed anything, by making it if that is
    wanted. An attempt without outcome is made again like that only under the same address."""
    known = Q(contact_id__isnull=False, portal_key=line.portal_key)
    new = Q(acknowledged={}) & (
        Q(sending__isnull=True) | Q(customer__email=KT(f"sending__{EMAIL}"))
    )
    otherwise = Call.UPSERT if line.creates_missing else Call.LOOKUP
    return Case(
        When(known, then=Value(Call.UPDATE.value)),
        When(new, then=Value(otherwise.value)),
        default=Value(Call.LOOKUP.value),
        output_field=CharField(),
    )


def _settle_unchanged(line: Line, lease_id: UUID, parcels: Sequence[Parcel]) -> list[Parcel]:
    """Those with something to send; the others are done without a call."""
    unchanged = [
        Verdict(
            parcel,
            Outcome.UNCHANGED,
            SyncState.SYNCED,
            contact_id=parcel.contact.contact_id,
            portal_key=line.portal_key,
            acknowledged=parcel.contact.acknowledged,
        )
        for parcel in parcels
        if not parcel.payload
    ]
    if unchanged:
        recording.record_unsent(line.account_id, lease_id, unchanged)
    return [parcel for parcel in parcels if parcel.payload]


def _fitting(lease_id: UUID, parcels: Sequence[Parcel]) -> list[Parcel]:
    """As many as one lookup can ask about: some may be known by several addresses."""
    sizes = accumulate(len(parcel.emails) for parcel in parcels)
    count = sum(size <= MAX_BATCH for size in sizes)
    recording.release(lease_id, parcels[count:])
    return list(parcels[:count])


def _deliver(hubspot: HubSpot, line: Line, made: Round, parcels: Sequence[Parcel]) -> None:
    if made.call != Call.LOOKUP:
        parcels = recording.note_sending(made.lease_id, parcels)
    if not parcels:  # whoever they are was erased meanwhile
        budget.give_back(made.permit)
        return
    started = time.monotonic()
    try:
        answer = _ask(hubspot, line, made.call, parcels)
    except HubSpotError as error:
        made = _timed(made, started)
        log.warning(
            "hubspot_call_failed",
            account_id=str(line.account_id),
            call=made.call.value,
            status=error.status,
            reason=error.reason,
            correlation_id=error.correlation_id,
        )
        recording.record_failure(
            made,
            judge_failure(line, made.call, parcels, error),
            error,
            is_refusal=isinstance(error, Refused),
            resets_at=daily_reset(hubspot, error),
        )
    else:
        made = _timed(made, started)
        recording.record_answer(made, judge(line, made.call, parcels, answer), answer)


def _ask(hubspot: HubSpot, line: Line, call: Call, parcels: Sequence[Parcel]) -> Answer:
    match call:
        case Call.LOOKUP:
            emails = list(dict.fromkeys(email for parcel in parcels for email in parcel.emails))
            return hubspot.read_contacts(emails, targets(line.mapping))
        case Call.UPSERT:
            return hubspot.upsert_contacts({str(parcel.id): parcel.payload for parcel in parcels})
    return hubspot.update_contacts(
        {parcel.contact.contact_id or "": parcel.payload for parcel in parcels}
    )


def daily_reset(hubspot: HubSpot, error: HubSpotError) -> datetime | None:
    """When HubSpot says that the daily limit is whole again, if that is the matter."""
    if isinstance(error, DailyLimitReached) and error.retry_after is None:
        with suppress(HubSpotError):
            return hubspot.daily_reset()
    return None


def _timed(made: Round, started: float) -> Round:
    return replace(made, seconds=time.monotonic() - started)
