"""Every event, for every endpoint that wants it."""

from collections.abc import Mapping, Sequence
from functools import partial
from uuid import UUID

from django.db import transaction

from apps.common.wakeups import wake_on_commit
from apps.events.models import Event
from apps.events.subscriptions import subscribe
from apps.webhooks.delivering import delivering
from apps.webhooks.enums import DeliveryStatus, Reason
from apps.webhooks.erasing import erase_answers
from apps.webhooks.events import TEST
from apps.webhooks.fanout import Made, make_deliveries
from apps.webhooks.leases import Lease
from apps.webhooks.limits import FAST_ENDPOINTS
from apps.webhooks.models import FanOut
from apps.webhooks.outcomes import dismiss
from apps.webhooks.preparing import Dismissal, keyrings
from apps.webhooks.services import DELIVER
from apps.webhooks.transport import Keyring, Parcel

FAN_OUT = "webhooks.fan_out"
# The type of another app, which need not be installed.
ERASED = "customer.erased"


@subscribe("webhooks.fan_out", types=["*"], is_first=True)
def fan_out(events: Sequence[Event]) -> None:
    """Make the deliveries of the first 64 endpoints of each event; a job goes on where there are more.

    So this transaction stays small whatever the audience. What this process can send itself it sends
    as soon as the transaction has committed, for which claims wait meanwhile; the rest is claimed.
    """
    wanted = {event.id: event for event in events if event.type != TEST.name}
    if not wanted:
        return
    lease = delivering.leases.open()
    made = make_deliveries(
        list(wanted),
        limit=FAST_ENDPOINTS,
        slots=delivering.fast_slots,
        lease_id=lease.id,
        holder=lease.holder,
        hands=delivering.sender.hands,
    )
    long = [one for one in made if one.is_last_of_many]
    if long:
        FanOut.objects.bulk_create(
            FanOut(
                event_id=one.event_id,
                subject=wanted[one.event_id].subject,
                position=wanted[one.event_id].position,
                after=one.endpoint_id,
            )
            for one in long
        )
        wake_on_commit(FAN_OUT)
    fast = [one for one in made if one.fast]
    transaction.on_commit(partial(_send, fast, wanted, lease), robust=True)
    if len(fast) < len(made):
        transaction.on_commit(delivering.look_again)
        wake_on_commit(DELIVER)


@subscribe("webhooks.erasure", types=[ERASED])
def on_customer_erased(events: Sequence[Event]) -> None:
    """What was told of an erased customer is not to be read in its receivers' answers either."""
    erase_answers([event.subject for event in events], but=ERASED)


def _send(fast: Sequence[Made], events: Mapping[UUID, Event], lease: Lease) -> None:
    try:
        rings = keyrings({one.endpoint_id: one.version for one in fast})
        unreadable = [one for one in fast if one.endpoint_id not in rings]
        if unreadable:
            dismiss(
                [
                    Dismissal(one.delivery_id, lease.id, DeliveryStatus.PARKED, Reason.UNREADABLE)
                    for one in unreadable
                ]
            )
        parcels = [
            _parcel(one, events[one.event_id], rings[one.endpoint_id], lease)
            for one in fast
            if one.endpoint_id in rings
        ]
    except BaseException:
        delivering.leases.abandon(lease)
        raise
    delivering.hand_over(lease, parcels)


def _parcel(one: Made, event: Event, keyring: Keyring, lease: Lease) -> Parcel:
    return Parcel(
        delivery_id=one.delivery_id,
        lease_id=lease.id,
        endpoint_id=one.endpoint_id,
        event_id=one.event_id,
        step=0,
        url=one.url,
        keyring=keyring,
        body=bytes(event.payload),
        occurred_at=event.occurred_at.timestamp(),
        leased_at=lease.taken_at,
        send_at=lease.taken_at,
        is_set_aside=one.is_set_aside,
        is_watched=one.is_watched,
    )
