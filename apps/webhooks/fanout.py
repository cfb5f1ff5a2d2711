"""Fan-out: deliveries for every endpoint that wants an event, set-wise in SQL.

Who gets an event: enabled endpoints of its account, of the readers named on it and of its channel's
members now, whose patterns let its type through. An event about an endpoint never goes to that one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction

from apps.common.wakeups import wake_on_commit
from apps.webhooks.claims import NO_ENDPOINT, NO_HANDS
from apps.webhooks.durability import UNAWAITED
from apps.webhooks.limits import ENDPOINT_CAP, FAN_OUT_BATCH, FAST_ENDPOINTS, LEASE_SECONDS
from apps.webhooks.models import FanOut
from apps.webhooks.services import DELIVER

_MAKE = f"""
SELECT made.* FROM {UNAWAITED}, webhooks_make(
  %s, %s, %s, %s, %s::uuid, %s, %s, %s, %s, %s::uuid[], %s::integer[]) made
"""  # noqa: S608 - made of constants


@dataclass(slots=True)  # frozen, one would take three times as long to make
class Made:
    """A delivery just made; a fast one is under a lease, another waits to be claimed."""

    delivery_id: UUID
    event_id: UUID
    endpoint_id: UUID
    url: str
    version: int
    fast: bool
    is_last_of_many: bool
    is_set_aside: bool
    is_watched: bool


def make_deliveries(
    event_ids: Sequence[UUID],
    *,
    limit: int,
    slots: int = 0,
    lease_id: UUID | None = None,
    holder: str = "",
    hands: Mapping[UUID, int] = NO_HANDS,
    after: UUID = NO_ENDPOINT,
) -> list[Made]:
    """Make the deliveries of some events for their first `limit` endpoints after `after`.

    At most `slots` of them are leased to `holder`, under `lease_id`, of an endpoint no more than `hands` say.
    `is_last_of_many` marks the last delivery made of an event that has more endpoints.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _MAKE,
            [
                list(event_ids),
                after,
                limit,
                slots,
                lease_id,
                holder,
                ENDPOINT_CAP,
                FAST_ENDPOINTS,
                LEASE_SECONDS,
                list(hands),
                list(hands.values()),
            ],
        )
        return [
            Made(
                delivery_id=row[0],
                event_id=row[1],
                endpoint_id=row[2],
                url=row[3],
                version=row[4],
                fast=row[5],
                is_last_of_many=row[6] == limit < row[7],
                is_set_aside=row[8],
                is_watched=row[9],
            )
            for row in cursor.fetchall()
        ]


@transaction.atomic
def continue_fan_out() -> bool:
    """Make the next 1,000 deliveries of one event that has so many; False when there is none.

    The cursor moves in the transaction of the deliveries, so a crash costs nothing and doubles nothing.
    """
    progress = FanOut.objects.select_for_update(skip_locked=True).order_by("position").first()
    if progress is None:
        return False
    made = make_deliveries([progress.event_id], limit=FAN_OUT_BATCH, after=progress.after)
    if made and made[-1].is_last_of_many:
        FanOut.objects.filter(pk=progress.pk).update(after=made[-1].endpoint_id)
    else:
        progress.delete()
    wake_on_commit(DELIVER)
    return True
