"""Deals that were sold to a buyer: what of them HubSpot is owed.

A row comes of the event of the invoice that every sale to a buyer issues: the events of the deal itself
are read by all of the seller's buyers, and do not tell who bought it for how much. A sale made elsewhere
has neither invoice nor buyer here, and HubSpot is not told of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce, Now

from apps.common.money import plain
from apps.common.retries import retried
from apps.common.wakeups import wake_on_commit
from apps.crm.enums import Outcome, SyncState
from apps.crm.hubspot.client import DEAL_ID
from apps.crm.models import Contact, SoldDeal
from apps.crm.selectors import Line
from apps.crm.services.mapping import moment
from apps.events.models import Event

DEALS = "crm.deals"
NO_CONTACT = "NO_CONTACT"
TAKEN_BACK = "TAKEN_BACK"
AHEAD_OF_OTHERS = timedelta(minutes=1)


def note_sales(events: Iterable[Event]) -> None:
    """Owe HubSpot the deals that these invoices were issued for, once however often an event comes."""
    invoices = [(event, _object(event)) for event in events]
    SoldDeal.objects.bulk_create(
        [
            SoldDeal(
                id=invoice["deal"],
                account_id=event.account_id,
                buyer_id=invoice["buyer"],
                name=invoice["lines"][0]["description"],
                amount=invoice["net_amount"],
                currency=invoice["currency"],
                sold_at=invoice["issued_at"],
                due_at=Now(),
            )
            for event, invoice in invoices
        ],
        ignore_conflicts=True,
    )
    wake_on_commit(DEALS)


def note_taken_back(events: Iterable[Event]) -> None:
    """The sale of these invoices was taken back: HubSpot's deal is lost."""
    ids = [_object(event)["deal"] for event in events]
    rows = SoldDeal.objects.filter(pk__in=ids, is_voided=False)
    _owe(rows, is_voided=True)


def note_contacts(events: Iterable[Event]) -> None:
    """HubSpot has these customers now: deals that waited for one of them can go."""
    buyers: dict[UUID, list[str]] = {}
    for event in events:
        external_id = _object(event)["external_id"]
        if external_id:
            buyers.setdefault(event.account_id, []).append(external_id)
    for account_id, slugs in buyers.items():
        # A pending one may be looked at just now, by somebody who does not see the contact yet.
        waiting = Q(state=SyncState.PENDING) | Q(state=SyncState.SKIPPED, error_reason=NO_CONTACT)
        _owe(SoldDeal.objects.filter(waiting, account_id=account_id, buyer__slug__in=slugs))


@transaction.atomic
def request_deal(*, deal_id: UUID) -> None:
    """Owe a deal anew and at once, whatever became of it; what HubSpot has is found again."""
    SoldDeal.objects.filter(pk=deal_id).update(
        revision=F("revision") + 1,
        state=SyncState.PENDING,
        due_at=Now() - AHEAD_OF_OTHERS,
        sending=Coalesce(F("sending"), F("acknowledged")),
        hubspot_id=None,
        batch_limit=None,
        failures=0,
        **_NO_ERROR,
    )
    wake_on_commit(DEALS)


@retried
@transaction.atomic
def set_aside(line: Line, rows: "QuerySet[SoldDeal]", limit: int) -> bool:
    """Let go of those of the due `rows` that cannot be made: without a contact to go with, or taken back
    before HubSpot heard of them. True when there were any.

    Locked first, looked at then: a contact that comes at this moment is seen here, or its event finds the
    rows as this leaves them.
    """
    due = rows.filter(account_id=line.account_id, due_at__lte=Now()).filter(
        Q(lease_until=None) | Q(lease_until__lt=Now())
    )
    locked = due.select_for_update(skip_locked=True, of=("self",)).select_related("buyer")
    deals = list(locked.order_by("due_at", "pk")[:limit])
    contacts = contacts_of(line, deals)
    aside = [deal for deal in deals if deal.is_voided or deal.buyer_id not in contacts]
    for deal in aside:
        deal.state, deal.due_at = SyncState.SKIPPED, None
        deal.error_code = Outcome.SKIPPED
        deal.error_reason, deal.error_detail = _why_not(deal)
    SoldDeal.objects.bulk_update(
        aside, ["state", "due_at", "error_code", "error_reason", "error_detail"]
    )
    return bool(aside)


def contacts_of(line: Line, deals: Sequence[SoldDeal]) -> dict[UUID, str]:
    """HubSpot's ids of the buyers: each is the seller's customer whose external_id is its slug."""
    slugs = {deal.buyer.slug: deal.buyer_id for deal in deals}
    found = Contact.objects.filter(
        account_id=line.account_id,
        portal_key=line.portal_key,
        contact_id__isnull=False,
        customer__erased_at=None,
        customer__external_id__in=slugs,
    ).values_list("customer__external_id", "contact_id")
    return {slugs[slug or ""]: contact_id or "" for slug, contact_id in found}


def properties_of(line: Line, deal: SoldDeal) -> dict[str, str]:
    """What HubSpot should have of a deal."""
    stage = line.deal_stages["lost" if deal.is_voided else "won"]
    return {
        DEAL_ID: str(deal.pk),
        "dealname": deal.name,
        "amount": plain(deal.amount, deal.currency),
        "deal_currency_code": deal.currency,
        "closedate": moment(deal.sold_at),
        "pipeline": line.deal_stages["pipeline"],
        "dealstage": stage,
    }


_NO_ERROR: Mapping[str, str] = {
    "error_code": "",
    "error_reason": "",
    "error_property": "",
    "error_detail": "",
}


def _owe(rows: "QuerySet[SoldDeal]", **changes: Any) -> None:
    rows.update(
        revision=F("revision") + 1,
        state=SyncState.PENDING,
        due_at=Coalesce(F("due_at"), Now()),
        **_NO_ERROR,
        **changes,
    )
    wake_on_commit(DEALS)


def _why_not(deal: SoldDeal) -> tuple[str, str]:
    if deal.is_voided:
        return TAKEN_BACK, "Its invoice was taken back before HubSpot heard of it."
    detail = f"HubSpot has no contact of a customer with the external_id {deal.buyer.slug!r}."
    return NO_CONTACT, f"{detail} It goes as soon as there is one."


def _object(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(bytes(event.payload))["data"]["object"]
    return found
