"""Customers who pass their e-mails round in a ring: each waits for an address that another one still has.

HubSpot refuses an address that another contact has, so of two customers who swap theirs neither could be
sent. One of each ring gives up its own first.
"""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from apps.crm.enums import SyncState
from apps.crm.models import Customer
from apps.crm.selectors import Line
from apps.crm.services.mapping import EMAIL

LONGEST_RING = 10


class Wish(NamedTuple):
    """The address that HubSpot has of a customer, and the one that it shall have."""

    has: str
    wants: str


class _Taker(NamedTuple):
    id: UUID
    has: str


def who_gives_way(line: Line, wishes: Mapping[UUID, Wish]) -> set[UUID]:
    """Of each ring that one of these customers is in, the first by id, if it is one of them."""
    takers = _takers(line, {wish.has for wish in wishes.values()})
    return {pk for pk, wish in wishes.items() if min(_ring(pk, wish, takers), default=None) == pk}


def _ring(pk: UUID, wish: Wish, takers: Mapping[str, _Taker]) -> list[UUID]:
    """All that are in it; empty when it does not close."""
    ring, place = [pk], wish.has
    while len(ring) <= LONGEST_RING and place in takers:
        taker = takers[place]
        ring.append(taker.id)
        place = taker.has
        if place == wish.wants:
            return ring
    return []


def _takers(line: Line, addresses: set[str]) -> dict[str, _Taker]:
    """Who is to have these addresses, and whoever is to have what those have still, and so on."""
    takers: dict[str, _Taker] = {}
    for _ in range(LONGEST_RING):
        rows = Customer.objects.filter(
            account_id=line.account_id,
            email__in=addresses - takers.keys(),
            contact__portal_key=line.portal_key,
            contact__contact_id__isnull=False,
            contact__state=SyncState.PENDING,
        ).values_list("email", "pk", "contact__acknowledged")
        found = {
            email: _Taker(pk, has)
            for email, pk, acknowledged in rows
            if email and (has := acknowledged.get(EMAIL)) and has != email
        }
        if not found:
            break
        takers |= found
        addresses = {taker.has for taker in found.values()}
    return takers
