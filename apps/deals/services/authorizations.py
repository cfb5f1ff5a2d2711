"""Authorisations: granting and revoking, each with its event and the channel's member in one transaction."""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from apps.accounts.errors import AccountNotFound
from apps.accounts.models import Account
from apps.accounts.selectors import account_by_reference
from apps.common import clock
from apps.common.actor import Actor
from apps.common.errors import Fault, Invalid
from apps.deals.enums import BidStatus
from apps.deals.events.authorizations import (
    AUTHORIZATION_GRANTED,
    AUTHORIZATION_REVOKED,
    authorization_object,
)
from apps.deals.models import Authorization
from apps.deals.selectors import authorizations as selectors
from apps.deals.selectors.bids import deals_with_bids_locked
from apps.deals.services.recording import CHANNEL, end_bids
from apps.deals.services.standings import restand
from apps.events.catalogue import EventType
from apps.events.channels import channel_of, join, leave
from apps.events.models import Channel
from apps.events.publishing import draft, publish


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
    have not been sent yet. Its open bids on them are rejected.
    """
    channel = _lock_channel(seller_id)
    revoked = selectors.authorization(seller_id, authorization_id)
    at, buyer_id = clock.now(), revoked.buyer_id
    _announce(AUTHORIZATION_REVOKED, revoked, actor=actor, at=at)
    leave(channel, buyer_id)
    revoked.delete()  # first: from here on the buyer places no bid
    for deal in deals_with_bids_locked(Q(bidder_id=buyer_id), seller_id=seller_id):
        end_bids(deal, Q(bidder_id=buyer_id), BidStatus.REJECTED, actor=actor, at=at)
        restand(deal, actor=actor, at=at)


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
