"""What differs between the customers here and their contacts in HubSpot; read only, 100 a call.

It looks at customers and contacts as they come, a few hundred at a time, so that a hundred thousand need
no more memory than one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from apps.crm import selectors
from apps.crm.errors import ConnectionNotFound
from apps.crm.hubspot.answers import Answer, Record
from apps.crm.hubspot.client import MAX_BATCH, HubSpot
from apps.crm.models import Contact, Customer
from apps.crm.selectors import Line
from apps.crm.services.calling import ask_patiently
from apps.crm.services.mapping import EMAIL, targets, wanted_of

_NOBODY = UUID(int=0)


class Kind(StrEnum):
    """How two sides differ."""

    ONLY_HERE = "only_here"  # HubSpot knows no contact of this address
    ONLY_THERE = "only_there"  # a contact that is no customer's
    DIFFERENT = "different"  # the value of one property
    UNLINKED = "unlinked"  # HubSpot has the address, the customer is not connected to it
    MERGED = "merged"  # into the contact that is named
    ARCHIVED = "archived"  # the contact was deleted in HubSpot, and can be restored there
    GONE = "gone"  # the contact is no more


@dataclass(frozen=True, slots=True)
class Difference:
    """One of them. `state` is how far the sync is with the customer: `pending` is on its way."""

    kind: Kind
    customer_id: str = ""
    contact_id: str = ""
    email: str = ""
    state: str = ""
    property: str = ""
    here: str = ""
    there: str = ""


def differences(*, account_id: UUID, only_there: bool = False) -> Iterator[Difference]:
    """Every difference, customer by customer; with `only_there` also the contacts that are no customer's.
    Raises ConnectionNotFound, HubSpotError."""
    line = selectors.line(account_id)
    token = selectors.token_of(account_id, line.portal_key) if line else None
    if line is None or token is None:
        raise ConnectionNotFound("There is no connection to HubSpot; PUT /crm/connection makes it.")
    comparison = _Comparison(line, HubSpot(token))
    yield from comparison.of_customers()
    if only_there:
        yield from comparison.of_contacts()


class _Comparison:
    def __init__(self, line: Line, hubspot: HubSpot) -> None:
        self._line = line
        self._hubspot = hubspot
        self._properties = targets(line.mapping)

    def of_customers(self) -> Iterator[Difference]:
        """Each asked for by its contact's id, or its e-mail where that is not known."""
        linked: list[Customer] = []
        others: list[Customer] = []
        for customer in self._customers():
            contact = customer.contact
            is_linked = contact.contact_id and contact.portal_key == self._line.portal_key
            (linked if is_linked else others).append(customer)
            if len(linked) == MAX_BATCH:
                yield from self._linked(linked)
                linked = []
            if len(others) == MAX_BATCH:
                yield from self._others(others)
                others = []
        yield from self._linked(linked)
        yield from self._others(others)

    def of_contacts(self) -> Iterator[Difference]:
        """Contacts that have neither the id nor an address of a customer."""
        after = ""
        while True:
            answer = self._page(after)
            yield from self._strangers(answer.records)
            if answer.next_place in ("", after):
                return
            after = answer.next_place

    def _customers(self) -> Iterator[Customer]:
        rows = selectors.customers(self._line.account_id).order_by("pk")
        last = _NOBODY
        while batch := list(rows.filter(pk__gt=last)[:MAX_BATCH]):
            yield from batch
            last = batch[-1].pk

    def _linked(self, customers: Sequence[Customer]) -> Iterator[Difference]:
        if not customers:
            return
        ids = [customer.contact.contact_id or "" for customer in customers]
        found = {record.id: record for record in self._by_id(ids).records}
        merged = {old: record for record in found.values() for old in record.merged_ids}
        missing = [one for one in ids if one not in found and one not in merged]
        archived = (
            {one.id for one in self._by_id(missing, archived=True).records} if missing else ()
        )
        wanted = wanted_of(customers, self._line.mapping)
        for customer in customers:
            contact_id = customer.contact.contact_id or ""
            if contact_id in found:
                yield from self._values(customer, wanted[customer.pk], found[contact_id])
            elif contact_id in merged:
                yield _of(customer, Kind.MERGED, there=merged[contact_id].id)
            else:
                yield _of(customer, Kind.ARCHIVED if contact_id in archived else Kind.GONE)

    def _others(self, customers: Sequence[Customer]) -> Iterator[Difference]:
        if not customers:
            return
        emails = [customer.email or "" for customer in customers]
        records = ask_patiently(
            self._line.portal_key, lambda: self._hubspot.read_contacts(emails, self._properties)
        ).records
        by_email = {email: record for record in records for email in record.emails}
        wanted = wanted_of(customers, self._line.mapping)
        for customer in customers:
            record = by_email.get(customer.email or "")
            if record is None:
                yield _of(customer, Kind.ONLY_HERE)
            else:
                yield _of(customer, Kind.UNLINKED, there=record.id)
                yield from self._values(customer, wanted[customer.pk], record)

    def _values(
        self, customer: Customer, wanted: dict[str, str], record: Record
    ) -> Iterator[Difference]:
        for name in self._properties:
            here, there = wanted.get(name, ""), record.properties.get(name) or ""
            is_additional = name == EMAIL and here in record.emails
            if here != there and not is_additional:
                yield _of(customer, Kind.DIFFERENT, property=name, here=here, there=there)

    def _strangers(self, records: Sequence[Record]) -> Iterator[Difference]:
        contacts = Contact.objects.filter(
            account_id=self._line.account_id,
            portal_key=self._line.portal_key,
            contact_id__in=[record.id for record in records],
        )
        known = set(contacts.values_list("contact_id", flat=True))
        emails = [email for record in records for email in record.emails]
        rows = selectors.customers(self._line.account_id).filter(email__in=emails)
        known |= set(rows.values_list("email", flat=True))
        for record in records:
            if not known & {record.id, *record.emails}:
                email = next(iter(record.emails), "")
                yield Difference(Kind.ONLY_THERE, contact_id=record.id, email=email)

    def _by_id(self, ids: Sequence[str], *, archived: bool = False) -> Answer:
        return ask_patiently(
            self._line.portal_key,
            lambda: self._hubspot.read_by_id(ids, self._properties, archived=archived),
        )

    def _page(self, after: str) -> Answer:
        return ask_patiently(self._line.portal_key, lambda: self._hubspot.page(after, [EMAIL]))


def _of(customer: Customer, kind: Kind, **more: str) -> Difference:
    return Difference(
        kind,
        customer_id=str(customer.pk),
        contact_id=customer.contact.contact_id or "",
        email=customer.email or "",
        state=customer.contact.state,
        **more,
    )
