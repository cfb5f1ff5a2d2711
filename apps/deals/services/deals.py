"""Changes of deals, each with its event and its history in one transaction."""

from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.common import clock
from apps.common.actor import Actor
from apps.common.errors import Fault, Invalid
from apps.common.ids import uuid7
from apps.common.retries import retried
from apps.common.versions import require_version
from apps.deals.auctions import Auction, auction_fault
from apps.deals.enums import OPEN, TRANSITIONS, BidStatus, DealStatus
from apps.deals.errors import DealClosed, DealHasBids, InvalidTransition
from apps.deals.events.deals import deal_changes, item_object
from apps.deals.models import Deal, DealItem
from apps.deals.pricing import Discount, discount_fault, final_price
from apps.deals.selectors import deals as selectors
from apps.deals.services.posting import Answered, Retry, store
from apps.deals.services.recording import as_it_is, record_change
from apps.deals.services.sales import close

# The times of a deal before the database has put them in.
_UNKNOWN = datetime.fromtimestamp(0, UTC)


def create_deal(*, seller_id: UUID, terms: Mapping[str, Any], actor: Actor) -> Deal:
    """Publish a deal.

    `terms` are `name`, `total_price`, `currency`, `items` (`name`, `price`) and, if wanted, `discount`
    (`type`, `amount`). Raises Invalid.
    """
    deal = _new(seller_id, terms, actor)
    store(deal, actor=actor, retry=None)
    return deal


@retried
def create_deal_once(
    *, seller_id: UUID, terms: Mapping[str, Any], actor: Actor, retry: Retry
) -> Deal | Answered:
    """The same for a POST with an idempotency key, or what its first request was answered. Raises Conflict
    too, while that one is at work."""
    deal = _new(seller_id, terms, actor)
    return store(deal, actor=actor, retry=retry) or deal


@transaction.atomic
def edit_deal(
    *,
    seller_id: UUID,
    deal_id: UUID,
    changes: Mapping[str, Any],
    actor: Actor,
    expected: frozenset[int] | None = None,
) -> Deal:
    """Set the terms that `changes` names, `status` among them, and leave the others.

    `items` are the deal's items from now on: one with an `id` is updated, one without inserted, one
    left out deleted. Closing the deal rejects its open bids. Raises DealNotFound, DealClosed, Stale,
    Invalid, InvalidTransition, DealHasBids. When nothing differs from what is there, nothing is written.
    """
    deal = selectors.own_deal_locked(seller_id, deal_id)
    require_editable(deal, expected)
    at = clock.now()
    before = as_it_is(deal)
    _apply(deal, changes, at)
    if "items" in changes:
        _write_items(deal, before["items"], changes["items"])
    _require_editable_with_bids(deal, before)
    status = DealStatus(changes.get("status", deal.status))
    if status != deal.status:
        _require_transition(DealStatus(deal.status), status, actor)
        close(deal, status, bids=BidStatus.REJECTED, actor=actor, at=at)
    record_change(deal, before, actor=actor, at=at)
    return deal


def _new(seller_id: UUID, terms: Mapping[str, Any], actor: Actor) -> Deal:
    """A deal that is to be stored, without its times."""
    _require_transition(None, DealStatus.AVAILABLE, actor)
    deal = Deal(seller_id=seller_id, created_at=_UNKNOWN, updated_at=_UNKNOWN)
    _apply(deal, terms, None)
    deal.item_objects = [
        {"id": str(uuid7()), "name": item["name"], "price": item["price"]}
        for item in terms["items"]
    ]
    return deal


def require_editable(deal: Deal, expected: frozenset[int] | None) -> None:
    """Raises DealClosed when the deal is sold or withdrawn, Stale unless its version is expected."""
    if deal.is_closed:
        raise DealClosed(f"The deal is {deal.status} and stays as it is. Post another one instead.")
    require_version(deal.version, expected)


def _require_transition(source: DealStatus | None, target: DealStatus, actor: Actor) -> None:
    if actor.kind not in TRANSITIONS.get((source, target), frozenset()):
        raise InvalidTransition(
            f"{actor.label} may not turn a deal that is {source or 'new'} into one that is {target}."
        )


def _require_editable_with_bids(deal: Deal, before: Mapping[str, Any]) -> None:
    """Bids are meant for the deal as it was: their currency stays, and so does all of an auction."""
    changed = deal_changes(before, as_it_is(deal)).keys()
    fixed = changed if before["auction"] else changed & {"currency", "auction"}
    if fixed and deal.bids.filter(status__in=OPEN).exists():
        raise DealHasBids(
            f"There are bids on the deal; {', '.join(sorted(fixed))} cannot change. "
            "Reject them, or withdraw the deal and post another one."
        )


def _apply(deal: Deal, terms: Mapping[str, Any], at: datetime | None) -> None:
    """Set the plain terms and what follows from them, at this time (None: asked where it matters); raises
    Invalid for what does not fit together."""
    for name in ("name", "currency", "total_price", "auto_accept_at", "auto_reject_below"):
        if name in terms:
            setattr(deal, name, terms[name])
    _apply_discount(deal, terms)
    if "auction" in terms:
        _apply_auction(deal, terms["auction"], at)
    _require_thresholds_in_order(deal)


def _apply_auction(deal: Deal, given: Mapping[str, Any] | None, at: datetime | None) -> None:
    auction = None if given is None else Auction(**given)
    if auction == deal.auction:
        return
    fault = None if auction is None else auction_fault(auction, at or clock.now())
    if fault:
        raise Invalid("The auction cannot be held like this.", faults=[fault])
    deal.auction = auction


def _require_thresholds_in_order(deal: Deal) -> None:
    accept, reject = deal.auto_accept_at, deal.auto_reject_below
    if deal.auction is not None and (accept, reject) != (None, None):
        name = "auto_reject_below" if accept is None else "auto_accept_at"
        detail = "An auction has its minimum, reserve and price of buying now instead."
        fault = Fault(f"/{name}", "not_in_auction", detail)
        raise Invalid("A deal has an auction or thresholds, not both.", faults=[fault])
    if accept is not None and reject is not None and accept < reject:
        detail = "It may not be above auto_accept_at."
        fault = Fault("/auto_reject_below", "thresholds_crossed", detail)
        raise Invalid("A bid cannot be accepted and rejected at once.", faults=[fault])


def _apply_discount(deal: Deal, terms: Mapping[str, Any]) -> None:
    discount = deal.discount
    if "discount" in terms:
        given = terms["discount"]
        discount = given and Discount(**given)
    fault = discount_fault(deal.total_price, discount)
    if fault is not None:
        at = fault if "discount" in terms else Fault("/total_price", fault.code, fault.detail)
        raise Invalid("The discount does not fit the total price.", faults=[at])
    deal.discount_type = discount.type if discount else ""
    deal.discount_amount = discount.amount if discount else 0
    deal.final_price = final_price(deal.total_price, discount)


def _write_items(
    deal: Deal, present: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]
) -> None:
    """Make `wanted` the deal's items in the place of `present`, in two statements at the most."""
    as_it_is = {UUID(one["id"]): (place, dict(one)) for place, one in enumerate(present)}
    _require_own_items(as_it_is.keys(), wanted)
    items = [DealItem(deal=deal, position=place, **one) for place, one in enumerate(wanted)]
    deal.item_objects = [item_object(item) for item in items]
    altered = [
        item
        for item, shown in zip(items, deal.item_objects, strict=True)
        if as_it_is.get(item.id) != (item.position, shown)
    ]
    removed = as_it_is.keys() - {item.id for item in items}
    if removed:
        DealItem.objects.filter(deal=deal, pk__in=removed).delete()
    if altered:
        DealItem.objects.bulk_create(
            altered,
            update_conflicts=True,
            unique_fields=["id"],
            update_fields=["position", "name", "price"],
        )


def _require_own_items(own: Set[UUID], wanted: Sequence[Mapping[str, Any]]) -> None:
    faults: list[Fault] = []
    seen: set[UUID] = set()
    for index, item in enumerate(wanted):
        item_id = item.get("id")
        if item_id is None:
            continue
        if item_id not in own:
            faults.append(
                Fault(f"/items/{index}/id", "unknown_item", "The deal has no item of this id.")
            )
        elif item_id in seen:
            faults.append(
                Fault(f"/items/{index}/id", "duplicate_item", "The id stands here twice.")
            )
        seen.add(item_id)
    if faults:
        raise Invalid("Send an item's id to keep it, none to add it.", faults=faults)
