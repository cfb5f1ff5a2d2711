"""What HubSpot tells of contacts, brought to the customers here.

Of each property the newest value wins, by the time at which HubSpot changed it; a value that was sent
from here counts from when it was sent. One that is still on its way to HubSpot, or owed to it, wins over
whatever HubSpot says, and HubSpot gets it. A contact that was deleted is forgotten: its customer is left
alone until it changes here. One that was merged takes its customer along to the contact that is left,
which then gets what the customer has; where that one is another customer's, it is a conflict.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.common import clock
from apps.common.actor import system
from apps.common.wakeups import wake_on_commit
from apps.crm import selectors
from apps.crm.enums import MissingContact, NoticeKind, NoticeOutcome, SyncState
from apps.crm.events import CUSTOMER_UPDATED
from apps.crm.hubspot.answers import HubSpotError, Limits, Refused
from apps.crm.hubspot.client import HubSpot
from apps.crm.hubspot.notices import Told
from apps.crm.models import Connection, Contact, Customer, Notice, Portal
from apps.crm.services import budget
from apps.crm.services.customers import SYNC, owe, tell
from apps.crm.services.echoes import AFTER_CALL, settle_known
from apps.crm.services.mapping import EMAIL, wanted_of
from apps.crm.services.takeover import taken_over

INBOUND = "crm.inbound"
# Longer than HubSpot repeats what it told, which is a day.
KEPT = timedelta(days=3)
TRIM_BATCH = 5000
BATCH = 500
# So much may HubSpot's clock be ahead of ours.
AHEAD = timedelta(minutes=5)
AFTER_FAILURE = timedelta(minutes=1)

log = structlog.get_logger(__name__)


@transaction.atomic
def receive(*, told: Sequence[Told]) -> None:
    """Keep what HubSpot told, once however often it does. What is said to come from later counts as of
    now: else nothing newer of that property would ever be heard again."""
    latest = clock.now() + AHEAD
    Notice.objects.bulk_create(
        [
            Notice(
                **{name: getattr(one, name) for name in Told.__slots__}
                | {"merged_ids": list(one.merged_ids)}
                | {"occurred_at": min(one.occurred_at, latest)}
            )
            for one in told
        ],
        ignore_conflicts=True,
    )
    if told:
        wake_on_commit(INBOUND)


def identify_portals() -> None:
    """Ask HubSpot, once for each token, which account it opens: notices name it by that number."""
    if not Notice.objects.filter(due_at__lte=Now()).exists():
        return
    for key, account_id in selectors.unidentified_portals().items():
        token = selectors.token_of(account_id, key) if account_id else settings.HUBSPOT_ACCESS_TOKEN
        permit = budget.take(key) if token else None
        if token is None or permit is None:
            continue
        try:
            hub_id = HubSpot(token).hub_id()
        except Refused as error:
            budget.succeeded(permit, error.limits)
        except HubSpotError as error:
            budget.failed(permit, error)
        else:
            budget.succeeded(permit, Limits())
            Portal.objects.filter(pk=key).update(hub_id=hub_id)


def apply_some() -> bool:
    """Deal with the notices that have waited longest; False when no more are due."""
    due = Notice.objects.filter(due_at__lte=Now()).order_by("due_at", "occurred_at")
    pks = list(due.values_list("pk", flat=True)[:BATCH])
    for pk in settle_known(pks):
        try:
            _apply(pk)
        except Exception:  # it must not keep the others waiting
            log.exception("notice_failed", notice=str(pk))
            Notice.objects.filter(pk=pk).update(due_at=Now() + AFTER_FAILURE)
    return len(pks) == BATCH


def trim() -> bool:
    """Forget old notices; True when more may be left."""
    old = Notice.objects.filter(received_at__lt=Now() - KEPT)
    trimmed, _ = Notice.objects.filter(pk__in=old.values("pk")[:TRIM_BATCH]).delete()
    return trimmed == TRIM_BATCH


@transaction.atomic
def _apply(pk: UUID) -> None:
    notice = Notice.objects.select_for_update(skip_locked=True).filter(pk=pk).first()
    if notice is None or notice.due_at is None:
        return
    keys = Portal.objects.filter(hub_id=notice.hub_id).values_list("pk", flat=True)
    contacts = Contact.objects.filter(
        contact_id__in=[notice.contact_id, *notice.merged_ids], portal_key__in=list(keys)
    )
    ids = list(contacts.values_list("pk", flat=True))
    # Always the customers first, both in the order of their ids: so does whoever changes them.
    locked = Customer.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")
    customers = {customer.pk: customer for customer in locked}
    held = list(contacts.filter(pk__in=customers).order_by("pk").select_for_update())
    if any(contact.lease_id is not None for contact in held) and _is_leased(held):
        Notice.objects.filter(pk=notice.pk).update(due_at=Now() + AFTER_CALL)
        return
    outcome = NoticeOutcome.UNKNOWN
    match NoticeKind(notice.kind):
        case NoticeKind.DELETED:
            outcome = _forget(held) or outcome
        case NoticeKind.MERGED:
            outcome = _follow(notice, held) or outcome
        case NoticeKind.CHANGED if held:
            for contact in held:
                outcome = _take_over(notice, contact, customers[contact.pk])
        case NoticeKind.CHANGED if notice.property_name == EMAIL:
            outcome = _find_skipped(notice, list(keys)) or outcome
    Notice.objects.filter(pk=pk).update(due_at=None, outcome=outcome, value="")


def _is_leased(contacts: Sequence[Contact]) -> bool:
    """A call for one of them is under way, whose outcome would be written over this."""
    ids = [contact.pk for contact in contacts]
    return Contact.objects.filter(pk__in=ids, lease_until__gt=Now()).exists()


def _take_over(notice: Notice, contact: Contact, customer: Customer) -> NoticeOutcome:
    """Give the customer the property's value, if the rule says so."""
    name, told_ms = notice.property_name, notice.told_ms
    line = selectors.line(contact.account_id)
    mapping = line.mapping if line else {}
    field = {EMAIL: EMAIL} | {target: field for field, target in mapping.items()}
    if name not in field:
        return NoticeOutcome.UNMAPPED
    if told_ms < contact.property_times.get(name, 0):
        return NoticeOutcome.OLDER
    own = wanted_of([customer], mapping)[customer.pk].get(name, "")
    confirmed = contact.acknowledged.get(name, "")
    is_owed = own != confirmed or name in (contact.sending or {})
    if contact.state == SyncState.PENDING and is_owed:
        return NoticeOutcome.LOCAL
    columns: dict[str, Any] = {"property_times": {**contact.property_times, name: told_ms}}
    altered: dict[str, tuple[Any, Any]] | None = {}
    if notice.value != own:
        altered = taken_over(customer, field[name], notice.value)
    if altered is not None or own:  # of what HubSpot was never told anything is left alone
        columns["acknowledged"] = {**contact.acknowledged, name: notice.value}
    Contact.objects.filter(pk=contact.pk).update(**columns)
    if contact.state == SyncState.FAILED:  # it may be what HubSpot would not take
        owe([contact.pk])
        wake_on_commit(SYNC)
    if altered is None:
        return NoticeOutcome.REFUSED
    if altered:
        _change(customer, altered)
    return NoticeOutcome.APPLIED if altered else NoticeOutcome.UNCHANGED


def _change(customer: Customer, altered: dict[str, tuple[Any, Any]]) -> None:
    Customer.objects.filter(pk=customer.pk).update(
        **{name: new for name, (_, new) in altered.items()},
        version=F("version") + 1,
        updated_at=Now(),
    )
    changed = selectors.customer(customer.account_id, customer.pk)
    tell(CUSTOMER_UPDATED, changed, system(INBOUND), altered)


def _forget(contacts: Sequence[Contact]) -> NoticeOutcome | None:
    """The contact is no more. What is owed of its customer still goes, and may make a new one."""
    ids = [contact.pk for contact in contacts]
    rows = Contact.objects.filter(pk__in=ids)
    nothing: dict[str, Any] = {"contact_id": None, "acknowledged": {}, "sending": None}
    rows.update(**nothing, property_times={})
    rows.exclude(state=SyncState.PENDING).update(
        state=SyncState.SKIPPED, error_code="", error_reason="", error_property="", error_detail=""
    )
    return NoticeOutcome.APPLIED if ids else None


def _follow(notice: Notice, contacts: Sequence[Contact]) -> NoticeOutcome | None:
    """To the record that is left goes, in each account, whoever has it already or comes first."""
    left, merged = notice.contact_id, [c for c in contacts if c.contact_id in notice.merged_ids]
    taken = {c.account_id for c in contacts if c.contact_id == left}
    # The primary record's customer before the others.
    for contact in sorted(merged, key=lambda one: notice.merged_ids.index(one.contact_id or "")):
        sending = {**contact.acknowledged, **(contact.sending or {})}
        is_first = contact.account_id not in taken
        Contact.objects.filter(pk=contact.pk).update(
            contact_id=left if is_first else None,
            acknowledged=contact.acknowledged if is_first else {},
            sending=(sending or None) if is_first else None,
        )
        taken.add(contact.account_id)
    owe([contact.pk for contact in merged])
    if merged:
        wake_on_commit(SYNC)
        return NoticeOutcome.APPLIED
    return NoticeOutcome.UNCHANGED if taken else None


def _find_skipped(notice: Notice, keys: Sequence[str]) -> NoticeOutcome | None:
    """A contact that nobody has has this address now: customers that waited for one look again."""
    skipping = Connection.objects.filter(missing_contact=MissingContact.SKIP)
    digests = skipping.values_list("pk", "token_digest")
    default = selectors.environment_digest()
    accounts = [pk for pk, own in digests if selectors.portal_key(own or default) in keys]
    found = Customer.objects.filter(
        account_id__in=accounts,
        email=selectors.normalised(notice.value),
        contact__state=SyncState.SKIPPED,
    )
    ids = list(found.values_list("pk", flat=True))
    owe(ids)
    if ids:
        wake_on_commit(SYNC)
    return NoticeOutcome.APPLIED if ids else None
