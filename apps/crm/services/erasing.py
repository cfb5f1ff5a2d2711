"""Erasing the personal data of a customer.

The customer itself is blanked at once, with an event for whoever else holds something of it. The rest is
owed by a row: stored events and remembered answers are blanked in batches, each with how far it has come,
then the contact in HubSpot is deleted if that was asked. A worker killed anywhere is followed by another.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce, Greatest, Now

from apps.common.actor import Actor
from apps.common.idempotency import erase_answers
from apps.common.leases import claim, settle
from apps.common.retries import retried
from apps.common.wakeups import wake_on_commit
from apps.crm import selectors
from apps.crm.enums import ErasureStage, SyncState
from apps.crm.errors import CustomerNotFound
from apps.crm.events import CUSTOMER_ERASED, PERSONAL, blanked, blanked_data, erased_object
from apps.crm.hubspot.answers import HubSpotError, Limits, Record, Refused
from apps.crm.hubspot.client import HubSpot
from apps.crm.models import Contact, ContactImport, Customer, Erasure, SyncAttempt
from apps.crm.services import budget
from apps.crm.services.mapping import EMAIL
from apps.events.erasing import NOTHING, erase_payloads
from apps.events.publishing import draft, publish

ERASE = "crm.erase"
LEASE_SECONDS = 60.0
# When HubSpot cannot be asked just now, or the account has no token.
ASK_AGAIN = timedelta(seconds=15)
WITHOUT_TOKEN = timedelta(hours=1)

log = structlog.get_logger(__name__)


@retried
@transaction.atomic
def erase_customer(
    *, account_id: UUID, customer_id: UUID, delete_contact: bool, actor: Actor
) -> Customer:
    """Blank a customer for good; with `delete_contact` HubSpot's contact goes, too. Returns what is left.

    Raises CustomerNotFound, also the second time. A call to HubSpot that is under way records nothing.
    """
    rows = Customer.objects.select_for_update(no_key=True).filter(account_id=account_id)
    customer = rows.filter(pk=customer_id, erased_at=None).first()
    if customer is None:
        raise CustomerNotFound("There is no such customer.")
    contact = Contact.objects.select_for_update().get(pk=customer_id)
    _owe(customer, contact, delete_contact)
    external_id = customer.external_id
    rows.filter(pk=customer_id).update(
        email=None,
        first_name=None,
        last_name=None,
        external_id=None,
        properties={},
        erased_at=Now(),
        updated_at=Now(),
        version=F("version") + 1,
    )
    _forget_contact(contact)
    SyncAttempt.objects.filter(customer_id=customer_id).update(detail="")
    left = Customer.objects.select_related("contact").get(pk=customer_id)
    publish(
        draft(
            CUSTOMER_ERASED,
            account_id=account_id,
            subject=customer_id,
            object=erased_object(left, external_id),
            actor=actor,
            at=left.updated_at,
        )
    )
    return left


@transaction.atomic
def retry_erasure(*, customer_id: UUID) -> None:
    """Ask HubSpot again to delete a contact that it refused to delete."""
    Erasure.objects.filter(pk=customer_id, due_at=None).update(due_at=Now(), error="")
    wake_on_commit(ERASE)


def erase_some() -> bool:
    """Take one step of one erasure; False when none is due."""
    claimed = claim(Erasure.objects.all(), limit=1, lease_seconds=LEASE_SECONDS)
    if not claimed:
        return False
    (owed,) = claimed
    match ErasureStage(owed.stage):
        case ErasureStage.EVENTS:
            _blank_events(owed)
        case ErasureStage.ANSWERS:
            _blank_answers(owed)
        case ErasureStage.CONTACT:
            _delete_contact(owed)
    return True


def _owe(customer: Customer, contact: Contact, delete_contact: bool) -> None:
    """HubSpot is asked by id where it is known; else by the address it may know, if it was told any."""
    owed = Erasure(id=customer.pk, account_id=customer.account_id)
    known = contact.acknowledged.get(EMAIL) or (contact.sending or {}).get(EMAIL)
    if delete_contact and (contact.contact_id or known):
        owed.contact_id = contact.contact_id or ""
        owed.portal_key = contact.portal_key
        owed.email = known or customer.email
        owed.call_over_at = contact.lease_until
    owed.due_at = customer.updated_at
    owed.save(force_insert=True)
    wake_on_commit(ERASE)


def _forget_contact(contact: Contact) -> None:
    Contact.objects.filter(pk=contact.pk).update(
        state=SyncState.SYNCED,
        synced_revision=F("revision"),
        due_at=None,
        lease_id=None,
        lease_until=None,
        contact_id=None,
        portal_key="",
        acknowledged={},
        sending=None,
        property_times={},
        batch_limit=None,
        failures=0,
        error_code="",
        error_reason="",
        error_property="",
        error_detail="",
    )


@transaction.atomic
def _blank_events(owed: Erasure) -> None:
    last = erase_payloads(
        subject=owed.pk,
        types=[one.name for one in PERSONAL],
        blank=blanked_data,
        after=UUID(owed.after) if owed.after else NOTHING,
    )
    _go_on(owed, str(last or ""), then={"stage": ErasureStage.ANSWERS})


@transaction.atomic
def _blank_answers(owed: Erasure) -> None:
    # The row of a request still at work is not there yet: that request holds a lock on what it is about.
    about = str(owed.pk)
    last = erase_answers(
        account_id=owed.account_id,
        mention=about.encode(),
        blank=lambda answer: blanked(answer) if _is_of(answer, about) else answer,
        after=owed.after,
    )
    due = Greatest(Now(), Coalesce(Value(owed.call_over_at), Now()))
    _go_on(owed, last or "", then={"stage": ErasureStage.CONTACT, "due_at": due})
    if last is None and owed.email is None:
        Erasure.objects.filter(pk=owed.pk).delete()


def _is_of(answer: Any, about: str) -> bool:
    """Whether an answer is about this customer, and does not just mention it."""
    return isinstance(answer, dict) and answer.get("id") == about


def _go_on(owed: Erasure, last: str, then: Mapping[str, Any]) -> None:
    """After the `last` one of this stage, or with the next stage when there is none."""
    _settle(owed, **({"after": last} if last else {"after": "", **then}))


def _delete_contact(owed: Erasure) -> None:
    line = selectors.line(owed.account_id)
    token = selectors.token_of(owed.account_id, line.portal_key) if line else None
    if line is None or token is None:
        _settle(owed, due_at=Now() + WITHOUT_TOKEN)
        return
    permit = budget.take(line.portal_key)
    if permit is None:
        _settle(owed, due_at=Now() + ASK_AGAIN)
        return
    is_known = owed.contact_id and owed.portal_key == line.portal_key
    try:
        if is_known:
            HubSpot(token).erase_contact(owed.contact_id)
            found: Sequence[Record] = ()
        else:
            found = HubSpot(token).read_contacts([owed.email or ""], []).records
    except Refused as error:
        log.warning("erasure_refused", customer_id=str(owed.pk), reason=error.reason)
        budget.succeeded(permit, error.limits)
        # What was asked for stays to be seen, and to be done by hand; it is not asked again.
        _settle(owed, due_at=None, error=error.detail[:1000])
    except HubSpotError as error:
        budget.failed(permit, error)
        _settle(owed, due_at=Now() + ASK_AGAIN)
    else:
        budget.succeeded(permit, Limits())
        reading = ContactImport.objects.filter(pk=owed.account_id, lease_until__gt=Now()).first()
        if found:
            _settle(owed, contact_id=found[0].id, portal_key=line.portal_key)
        elif is_known and reading is not None:
            # Its page may have been read before: until its lease is over, that page would bring the customer back.
            _settle(owed, contact_id="", due_at=reading.lease_until)
        else:
            Erasure.objects.filter(pk=owed.pk, lease_id=owed.lease_id).delete()


def _settle(owed: Erasure, **outcome: Any) -> None:
    settle(Erasure, owed.pk, owed.lease_id or NOTHING, **outcome)
