"""Contacts of HubSpot's, as they are there now, brought to the customers here.

A contact belongs to the customer that has its id, else to the one that has one of its addresses, else it
becomes a customer. Who is right about a property is decided as for notices (`inbound.py`): a value that
HubSpot is owed, or that somebody gave a customer whom HubSpot did not know yet, wins; else HubSpot's does,
unless a newer one is known. What HubSpot and the customer agree on counts as confirmed, so that it is
not sent back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from apps.common import clock
from apps.common.actor import Actor
from apps.common.ids import uuid7_at
from apps.common.wakeups import wake_on_commit
from apps.crm import selectors
from apps.crm.enums import MAX_EMAIL, SyncState
from apps.crm.events import CUSTOMER_CREATED, CUSTOMER_UPDATED, Standing, customer_object
from apps.crm.hubspot.answers import Record
from apps.crm.models import Connection, Contact, Customer, Erasure
from apps.crm.selectors import Line, normalised
from apps.crm.services.customers import SYNC, owe
from apps.crm.services.mapping import EMAIL, wanted_of
from apps.crm.services.takeover import Altered, taken_over
from apps.events.catalogue import EventType
from apps.events.publishing import Draft, draft, publish_all


class Busy(Exception):
    """HubSpot is being told of one of these customers just now: what it has is about to change. Or the connection has
    changed since the contacts were read."""


@dataclass(slots=True)
class Tally:
    """What became of contacts. `refused`: a customer cannot be what they are, or has another contact."""

    read: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    without_email: int = 0
    refused: int = 0

    def add(self, other: "Tally") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class _Page:
    """The customers that some contacts belong to, locked, and what is done to them."""

    by_contact: dict[str, Customer]
    by_email: dict[str, Customer]
    being_erased: set[str]
    taken: set[UUID] = field(default_factory=set)
    made: list[Customer] = field(default_factory=list)
    events: list[Draft] = field(default_factory=list)
    owed: list[UUID] = field(default_factory=list)


@transaction.atomic
def adopt(*, line: Line, records: Sequence[Record], actor: Actor) -> Tally:
    """Bring contacts to the customers of an account; the same ones again change nothing. Raises Busy."""
    page = _lock(line, records)
    tally = Tally(read=len(records))
    for record in records:
        kind = _adopt(line, page, record, actor)
        setattr(tally, kind, getattr(tally, kind) + 1)
    Customer.objects.bulk_create(page.made)
    Contact.objects.bulk_create([customer.contact for customer in page.made])
    publish_all(page.events)
    if page.owed:
        owe(page.owed)
        wake_on_commit(SYNC)
    return tally


def _lock(line: Line, records: Sequence[Record]) -> _Page:
    # Whoever changes the connection looks at all customers afterwards: also at those that are made here.
    held = Connection.objects.filter(pk=line.account_id).select_for_update(no_key=True)
    list(held.values("pk"))
    if selectors.line(line.account_id) != line:
        raise Busy
    ids = {record.id for record in records}
    emails = {email for record in records for email in record.emails}
    whose = Q(contact__contact_id__in=ids, contact__portal_key=line.portal_key)
    found = Customer.objects.filter(whose | Q(email__in=emails), account_id=line.account_id)
    pks = list(found.filter(erased_at=None).values_list("pk", flat=True))
    # Always the customers first, both in the order of their ids: so does whoever changes them.
    rows = Customer.objects.filter(pk__in=pks, erased_at=None).order_by("pk")
    customers = {one.pk: one for one in rows.select_for_update(no_key=True)}
    contacts = Contact.objects.filter(pk__in=customers).order_by("pk")
    for contact in contacts.select_for_update():
        customers[contact.pk].contact = contact
    if contacts.filter(lease_until__gt=Now()).exists():
        raise Busy
    erasures = Erasure.objects.filter(account_id=line.account_id)
    gone = {known for one in erasures for known in (one.contact_id, one.email) if known}
    return _Page(
        by_contact={
            one.contact.contact_id: one
            for one in customers.values()
            if one.contact.contact_id and one.contact.portal_key == line.portal_key
        },
        by_email={one.email: one for one in customers.values() if one.email},
        being_erased=gone,
    )


def _adopt(line: Line, page: _Page, record: Record, actor: Actor) -> str:
    """The name of the member of Tally that counts it."""
    if page.being_erased & {record.id, *record.emails} or not record.id:
        return "refused"
    customer = page.by_contact.get(record.id) or next(
        (page.by_email[email] for email in record.emails if email in page.by_email), None
    )
    if customer is None:
        return _make(line, page, record, actor)
    contact = customer.contact
    is_anothers = contact.portal_key == line.portal_key and contact.contact_id not in (
        None,
        record.id,
    )
    if is_anothers or customer.pk in page.taken:
        return "refused"
    page.taken.add(customer.pk)
    return _merge(line, page, customer, record, actor)


def _make(line: Line, page: _Page, record: Record, actor: Actor) -> str:
    if not record.properties.get(EMAIL):
        return "without_email"
    email = normalised(record.properties[EMAIL] or "")
    if not _is_address(email):
        return "refused"
    at = clock.now()
    customer = Customer(
        id=uuid7_at(at),
        account_id=line.account_id,
        email=email,
        created_at=at,
        updated_at=at,
    )
    for name, target in line.mapping.items():
        altered = taken_over(customer, name, record.properties.get(target) or "")
        for column, (_, new) in (altered or {}).items():
            setattr(customer, column, new)
    wanted = wanted_of([customer], line.mapping)[customer.pk]
    customer.contact = Contact(
        customer=customer,
        account_id=line.account_id,
        state=SyncState.SYNCED,
        synced_revision=1,
        synced_at=at,
        portal_key=line.portal_key,
        contact_id=record.id,
        acknowledged=wanted,
        property_times=dict.fromkeys(wanted, record.updated_ms),
    )
    page.made.append(customer)
    page.by_email[email] = page.by_contact[record.id] = customer
    page.taken.add(customer.pk)
    page.events.append(_event(CUSTOMER_CREATED, customer, actor))
    return "created"


def _merge(line: Line, page: _Page, customer: Customer, record: Record, actor: Actor) -> str:
    contact = customer.contact
    judged = _Judged(
        customer, contact.contact_id == record.id and contact.portal_key == line.portal_key
    )
    wanted = wanted_of([customer], line.mapping)[customer.pk]
    for name, of in ((EMAIL, EMAIL), *((target, of) for of, target in line.mapping.items())):
        judged.judge(name, of, wanted.get(name, ""), record)
    if not judged.is_news:
        return "unchanged"
    Contact.objects.filter(pk=contact.pk).update(
        contact_id=record.id,
        portal_key=line.portal_key,
        acknowledged=judged.acknowledged,
        property_times={**contact.property_times, **judged.times},
    )
    if contact.state in (SyncState.SKIPPED, SyncState.FAILED):
        page.owed.append(
            customer.pk
        )  # what HubSpot lacks is sent; where that is nothing, without a call
    if judged.altered:
        _change(page, customer, judged.altered, actor)
    return "updated"


class _Judged:
    """Which side is right about each property of a customer that is here already."""

    def __init__(self, customer: Customer, is_linked: bool) -> None:
        self._customer = customer
        self._is_linked = is_linked
        self._confirmed: dict[str, str] = customer.contact.acknowledged
        self.acknowledged = dict(self._confirmed) if is_linked else {}
        self.altered: Altered = {}
        self.times: dict[str, int] = {}

    @property
    def is_news(self) -> bool:
        """Whether anything has to be written down."""
        is_same = self._is_linked and self.acknowledged == self._confirmed
        return not is_same or bool(self.altered)

    def judge(self, name: str, of: str, own: str, record: Record) -> None:
        """`own` is the value here of HubSpot's property `name`, which is the field `of`."""
        contact = self._customer.contact
        theirs = record.properties.get(name) or ""
        if name == EMAIL and own in record.emails:
            theirs = own  # be it as an additional one
        confirmed = self._confirmed.get(name, "")
        is_older = record.updated_ms < contact.property_times.get(name, 0)
        is_known = self._is_linked and theirs == confirmed
        if is_known or is_older or name in (contact.sending or {}):
            return
        is_owed = contact.state == SyncState.PENDING and own != confirmed
        is_ours = not self._is_linked and own != ""
        if theirs != own and not is_owed and not is_ours and self._take(of, theirs):
            own = theirs
        if own or confirmed:  # of what HubSpot was never told anything is left alone
            self.acknowledged[name] = theirs
            self.times[name] = record.updated_ms

    def _take(self, of: str, theirs: str) -> bool:
        altered = taken_over(self._customer, of, theirs)
        for column, (old, new) in (altered or {}).items():
            self.altered[column] = (self.altered.get(column, (old,))[0], new)
            setattr(self._customer, column, new)
        return altered is not None


def _change(page: _Page, customer: Customer, altered: Altered, actor: Actor) -> None:
    customer.version += 1
    customer.updated_at = clock.now()
    columns = {name: new for name, (_, new) in altered.items()}
    Customer.objects.filter(pk=customer.pk).update(
        **columns, version=customer.version, updated_at=customer.updated_at
    )
    page.events.append(_event(CUSTOMER_UPDATED, customer, actor, altered))


def _event(
    type: EventType, customer: Customer, actor: Actor, altered: Altered | None = None
) -> Draft:
    standing = Standing(has_token=True)
    return draft(
        type,
        account_id=customer.account_id,
        subject=customer.pk,
        object=customer_object(customer, customer.contact, standing),
        actor=actor,
        at=customer.updated_at,
        changes=altered,
    )


def _is_address(email: str) -> bool:
    try:
        validate_email(email)
    except ValidationError:
        return False
    return len(email) <= MAX_EMAIL
