"""Changes of deals, each with its event and its history in one transaction."""

from collections.abc import Mapping, Sequence, Set
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.common import clock
from apps.common.actor import Actor
from apps.common.errors import Fault, Invalid
from apps.common.versions import require_version
from apps.deals.enums import TRANSITIONS, DealStatus
from apps.deals.errors import DealClosed, InvalidTransition
from apps.deals.events.deals import (
    DEAL_CREATED,
    DEAL_SOLD,
    DEAL_UPDATED,
    DEAL_WITHDRAWN,
    deal_changes,
    deal_object,
    item_object,
)
from apps.deals.models import Deal, DealHistory, DealItem
from apps.deals.pricing import Discount, discount_fault, final_price
from apps.deals.selectors import deals as selectors
from apps.deals.services.authorizations import CHANNEL
from apps.events.catalogue import EventType
from apps.events.channels import channel_of
from apps.events.publishing import draft, publish

_TYPE_OF_STATUS = {
    DealStatus.AVAILABLE: DEAL_UPDATED,
    DealStatus.SOLD: DEAL_SOLD,
    DealStatus.WITHDRAWN: DEAL_WITHDRAWN,
}


@transaction.atomic
def create_deal(*, seller_id: UUID, terms: Mapping[str, Any], actor: Actor) -> Deal:
    """Publish a deal.

    `terms` are `name`, `total_price`, `currency`, `items` (`name`, `price`) and, if wanted, `discount`
    (`type`, `amount`). Raises Invalid.
    """
    at = clock.now()
    deal = Deal(seller_id=seller_id, created_at=at, updated_at=at)
    _require_transition(None, DealStatus(deal.status), actor)
    _apply(deal, terms)
    deal.save(force_insert=True)
    _write_items(deal, [], terms["items"])
    created = deal_object(deal)
    nothing = dict.fromkeys(created) | {"items": []}
    changes = deal_changes(nothing, created)
    _record(DEAL_CREATED, deal, changes=changes, actor=actor)
    return deal


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
    left out deleted. Raises DealNotFound, DealClosed, Stale, Invalid, InvalidTransition. When nothing
    differs from what is there, nothing is written.
    """
    deal = selectors.own_deal_locked(seller_id, deal_id)
    require_editable(deal, expected)
    old = deal_object(deal)
    status = DealStatus(changes.get("status", deal.status))
    if status != deal.status:
        _require_transition(DealStatus(deal.status), status, actor)
        deal.status = status
    _apply(deal, changes)
    if "items" in changes:
        _write_items(deal, old["items"], changes["items"])
    changed = deal_changes(old, deal_object(deal))
    if changed:
        deal.version += 1
        deal.updated_at = clock.now()
        deal.save(force_update=True)
        _record(_TYPE_OF_STATUS[status], deal, changes=changed, actor=actor)
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


def _apply(deal: Deal, terms: Mapping[str, Any]) -> None:
    """Set the plain terms and what follows from them; raises Invalid for a discount out of bounds."""
    for name in ("name", "currency", "total_price"):
        if name in terms:
            setattr(deal, name, terms[name])
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


def _record(
    type: EventType, deal: Deal, *, changes: Mapping[str, tuple[Any, Any]], actor: Actor
) -> None:
    """Write the change down in the deal's history, and tell the seller and its buyers."""
    DealHistory.objects.create(
        deal=deal, type=type.name, actor=actor.as_json(), changes=changes, at=deal.updated_at
    )
    publish(
        draft(
            type,
            account_id=deal.seller_id,
            channel_id=channel_of(deal.seller_id, CHANNEL).id,
            subject=deal.id,
            object=deal_object(deal),
            changes=changes,
            actor=actor,
            at=deal.updated_at,
        )
    )
