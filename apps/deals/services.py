"""Changes of deals and authorisations, each with its event and its history in one transaction."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.accounts.errors import AccountNotFound
from apps.accounts.models import Account
from apps.accounts.selectors import account_by_reference
from apps.common import clock
from apps.common.actor import Actor
from apps.common.errors import Fault, Invalid
from apps.common.versions import require_version
from apps.deals import selectors
from apps.deals.enums import TRANSITIONS, DealStatus
from apps.deals.errors import DealClosed, InvalidTransition
from apps.deals.events import (
    AUTHORIZATION_GRANTED,
    AUTHORIZATION_REVOKED,
    DEAL_CREATED,
    DEAL_SOLD,
    DEAL_UPDATED,
    DEAL_WITHDRAWN,
    authorization_object,
    deal_changes,
    deal_object,
    item_object,
)
from apps.deals.models import Authorization, Deal, DealHistory, DealItem
from apps.deals.pricing import Discount, discount_fault, final_price
from apps.events.catalogue import EventType
from apps.events.channels import channel_of, join, leave
from apps.events.models import Channel
from apps.events.publishing import draft, publish

CHANNEL = "deals"  # of each seller; its members are the buyers that see the seller's deals

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


@transaction.atomic
def grant_authorization(*, seller_id: UUID, buyer: str, actor: Actor) -> tuple[Authorization, bool]:
    """Let an account, named by id or slug, see the seller's deals from now on.

    Returns the authorisation and whether it is new. Raises Invalid when there is no such buyer, or it
    is the seller itself.
    """
    buyer_id = _buyer(seller_id, buyer)
    channel = _lock_channel(seller_id)
    present = Authorization.objects.filter(seller_id=seller_id, buyer_id=buyer_id).first()
    if present is not None:
        return present, False
    at = clock.now()
    granted = Authorization.objects.create(seller_id=seller_id, buyer_id=buyer_id, created_at=at)
    join(channel, buyer_id)
    _announce(AUTHORIZATION_GRANTED, granted, actor=actor, at=at)
    return granted, True


@transaction.atomic
def revoke_authorization(*, seller_id: UUID, authorization_id: UUID, actor: Actor) -> None:
    """End an authorisation that the seller granted; raises AuthorizationNotFound.

    From now on the buyer gets none of the seller's deals, in reads, in the feed or in webhooks that
    have not been sent yet.
    """
    channel = _lock_channel(seller_id)
    revoked = selectors.authorization(seller_id, authorization_id)
    _announce(AUTHORIZATION_REVOKED, revoked, actor=actor, at=clock.now())
    leave(channel, revoked.buyer_id)
    revoked.delete()


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


def _announce(type: EventType, authorization: Authorization, *, actor: Actor, at: datetime) -> None:
    publish(
        draft(
            type,
            account_id=authorization.seller_id,
            readers=[authorization.buyer_id],
            subject=authorization.id,
            object=authorization_object(authorization),
            actor=actor,
            at=at,
        )
    )


def _buyer(seller_id: UUID, reference: str) -> UUID:
    try:
        buyer: Account = account_by_reference(reference)
    except AccountNotFound as error:
        fault = Fault("/buyer", "unknown_account", error.detail)
        raise Invalid("There is no such buyer.", faults=[fault]) from error
    if buyer.id == seller_id:
        fault = Fault("/buyer", "own_account", "You see your own deals anyway.")
        raise Invalid("A seller does not authorise itself.", faults=[fault])
    return buyer.id


def _lock_channel(seller_id: UUID) -> Channel:
    """The seller's channel, locked: its members and the authorisations change one after the other.

    Inserting members and events only needs that the channel stays; the lock does not hinder them.
    """
    channel = channel_of(seller_id, CHANNEL)
    return Channel.objects.select_for_update(no_key=True).get(pk=channel.pk)
