"""Writing down what a call came to: one statement for all its customers, by compare-and-set on the lease.

A customer that changed while the call was under way stays owed, whatever HubSpot said of what it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from django.db import connection, transaction
from prometheus_client import Counter

from apps.accounts.models import Account
from apps.common import clock, mail
from apps.common.actor import system
from apps.common.retries import retried
from apps.crm.enums import Call, Outcome, SyncState
from apps.crm.events import CUSTOMER_SYNC_FAILED, CUSTOMER_SYNCED, Standing, customer_object
from apps.crm.hubspot.answers import Answer, HubSpotError
from apps.crm.models import Contact, Customer, SyncAttempt
from apps.crm.services import budget
from apps.crm.services.budget import Permit
from apps.crm.services.customers import SYNC
from apps.crm.services.parcels import Parcel, Verdict
from apps.events.publishing import draft, publish_all

_EVENTS = {SyncState.SYNCED: CUSTOMER_SYNCED, SyncState.FAILED: CUSTOMER_SYNC_FAILED}
# Outcomes by which HubSpot has what there was to say of a customer.
_CHANGED = (Outcome.SYNCED, Outcome.UNCHANGED)

outcomes = Counter("tradepost_crm_outcomes", "What calls meant for customers", ["outcome"])

_NOTE = """
UPDATE crm_contact AS c SET sending = v.noted,
  property_times = c.property_times || (
    SELECT coalesce(jsonb_object_agg(n, floor(extract(epoch FROM clock_timestamp()) * 1000)), '{}')
      FROM jsonb_array_elements_text(v.sent) n)
  FROM jsonb_to_recordset(%s::jsonb) AS v(id uuid, noted jsonb, sent jsonb)
 WHERE c.id = v.id AND c.lease_id = %s
RETURNING c.id
"""

_RECORD = """
UPDATE crm_contact AS c SET
  lease_id = NULL, lease_until = NULL, claims = 0,
  contact_id = v.contact_id, portal_key = v.portal_key, acknowledged = v.acknowledged,
  sending = CASE WHEN v.is_certain AND c.sending IS NOT DISTINCT FROM v.noted
    THEN v.sending ELSE c.sending END,
  synced_revision = CASE WHEN v.state = 'synced' THEN v.revision ELSE c.synced_revision END,
  synced_at = CASE WHEN v.state = 'synced' THEN now() ELSE c.synced_at END,
  state = CASE WHEN c.revision > v.revision THEN 'pending' ELSE v.state END,
  due_at = CASE WHEN c.revision > v.revision THEN now()
    WHEN v.state <> 'pending' THEN NULL
    WHEN v.due_in IS NULL THEN c.due_at ELSE now() + make_interval(secs => v.due_in) END,
  batch_limit = CASE WHEN c.revision > v.revision THEN NULL ELSE v.batch_limit END,
  failures = CASE WHEN c.revision > v.revision THEN 0 ELSE v.failures END,
  error_code = CASE WHEN c.revision > v.revision THEN '' ELSE v.error_code END,
  error_reason = CASE WHEN c.revision > v.revision THEN '' ELSE v.error_reason END,
  error_property = CASE WHEN c.revision > v.revision THEN '' ELSE v.error_property END,
  error_detail = CASE WHEN c.revision > v.revision THEN '' ELSE v.error_detail END
FROM jsonb_to_recordset(%s::jsonb) AS v(
  id uuid, revision integer, state text, due_in float8, contact_id text, portal_key text,
  acknowledged jsonb, sending jsonb, noted jsonb, is_certain boolean, batch_limit smallint,
  failures smallint, error_code text, error_reason text, error_property text, error_detail text)
WHERE c.id = v.id AND c.lease_id = %s
RETURNING c.id, c.state
"""


@dataclass(frozen=True, slots=True)
class Round:
    """One call: under which lease and permit, for whom, and how long it took."""

    account_id: UUID
    call: Call
    permit: Permit
    lease_id: UUID
    seconds: float = 0.0


def note_sending(lease_id: UUID, parcels: Sequence[Parcel]) -> list[Parcel]:
    """Before anything is sent: from now on HubSpot may have it, whatever becomes of this process. Returns
    those that may go: not one that was erased since it was claimed, whose contact nobody would delete."""
    rows = [
        {"id": str(parcel.id), "noted": parcel.noted, "sent": list(parcel.payload)}
        for parcel in parcels
    ]
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, [orjson.dumps(rows).decode(), lease_id])
        noted = {row[0] for row in cursor.fetchall()}
    return [parcel for parcel in parcels if parcel.id in noted]


def release(lease_id: UUID, parcels: Sequence[Parcel]) -> None:
    """Leave these to another call: nothing was done about them."""
    Contact.objects.filter(pk__in=[parcel.id for parcel in parcels], lease_id=lease_id).update(
        lease_id=None, lease_until=None
    )


@retried
@transaction.atomic
def record_unsent(account_id: UUID, lease_id: UUID, verdicts: Sequence[Verdict]) -> None:
    """Customers for which no call was needed."""
    _write(account_id, lease_id, verdicts)


@retried
@transaction.atomic
def record_answer(made: Round, verdicts: Sequence[Verdict], answer: Answer) -> None:
    """What became of the customers of a call that HubSpot answered."""
    written = _write(made.account_id, made.lease_id, verdicts)
    _keep_attempts(made, verdicts, written, answer.status, answer.correlation_id)
    changed = sum(verdict.outcome in _CHANGED for verdict in verdicts)
    budget.succeeded(made.permit, answer.limits, changed=changed)


@retried
@transaction.atomic
def record_failure(
    made: Round,
    verdicts: Sequence[Verdict],
    error: HubSpotError,
    *,
    is_refusal: bool,
    resets_at: datetime | None = None,
) -> None:
    """The same, of one that it did not; a mere refusal shows that it is there."""
    written = _write(made.account_id, made.lease_id, verdicts)
    _keep_attempts(made, verdicts, written, error.status, error.correlation_id)
    if is_refusal:
        budget.succeeded(made.permit, error.limits)
    elif budget.failed(made.permit, error, resets_at):
        _tell_of_pause(made.account_id, error)


def _write(account_id: UUID, lease_id: UUID, verdicts: Sequence[Verdict]) -> set[UUID]:
    """The ids of those whose lease was still ours."""
    rows = orjson.dumps([verdict.columns() for verdict in verdicts]).decode()
    with connection.cursor() as cursor:
        cursor.execute(_RECORD, [rows, lease_id])
        written: dict[UUID, str] = dict(cursor.fetchall())
    _announce([pk for pk, state in written.items() if state in _EVENTS])
    for verdict in verdicts:
        outcomes.labels(verdict.outcome.value).inc()
    return set(written)


def _announce(customer_ids: Sequence[UUID]) -> None:
    customers = Customer.objects.select_related("contact").filter(
        pk__in=customer_ids, erased_at=None
    )
    at = clock.now()
    publish_all(
        [
            draft(
                _EVENTS[SyncState(customer.contact.state)],
                account_id=customer.account_id,
                subject=customer.pk,
                object=customer_object(customer, customer.contact, Standing(has_token=True)),
                actor=system(SYNC),
                at=at,
            )
            for customer in customers.order_by("pk")
        ]
    )


def _keep_attempts(
    made: Round,
    verdicts: Sequence[Verdict],
    written: set[UUID],
    status: int | None,
    correlation_id: str,
) -> None:
    SyncAttempt.objects.bulk_create(
        SyncAttempt(
            account_id=made.account_id,
            customer_id=verdict.parcel.id,
            call=made.call,
            outcome=verdict.outcome,
            revision=verdict.parcel.contact.revision,
            status=status,
            code=verdict.reason,
            property=verdict.property_name,
            detail=verdict.detail,
            correlation_id=correlation_id,
            batch_size=len(verdicts),
            duration_ms=round(made.seconds * 1000),
        )
        for verdict in verdicts
        if verdict.parcel.id in written
    )


def _tell_of_pause(account_id: UUID, error: HubSpotError) -> None:
    """Somebody has to do something: the account is written to, where it has an address."""
    account = Account.objects.get(pk=account_id)
    if account.email:
        mail.owe(
            to=account.email,
            subject="HubSpot refuses the access token",
            text=(
                f"HubSpot refused the access token of {account.name}: {error.detail}\n\n"
                "Customers are kept here and sent as soon as the token works again. Set another one "
                "with PUT /api/v1/crm/connection, or grant the scopes in HubSpot.\n"
            ),
        )
