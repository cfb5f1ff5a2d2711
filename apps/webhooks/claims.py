"""Claiming what is owed, and giving back what is not going to be sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from django.db import connection, transaction

from apps.webhooks.enums import Lane
from apps.webhooks.limits import (
    ACCOUNT_SHARES,
    CLAIM_BATCH,
    ENDPOINT_CAP,
    LEASE_SECONDS,
    RATE_HORIZON_SECONDS,
)

NO_ENDPOINT = UUID(int=0)
NO_HANDS: Mapping[UUID, int] = {}
_LANES = tuple(Lane)  # by their numbers
log = structlog.get_logger(__name__)

# A claim whose answer nobody awaits any more may still be waiting for its turn.
AFTER_ALL_CLAIMS = "SELECT pg_advisory_xact_lock(hashtext('tradepost.webhooks.claim'))"

# Each of the two has an index of its own.
_IS_READY = """
SELECT EXISTS (SELECT FROM webhooks_due WHERE ready AND order_key IS NULL)
    OR EXISTS (SELECT FROM webhooks_due WHERE ready AND order_key IS NOT NULL)
"""

_FREE = """
UPDATE webhooks_due SET ready = true, due_at = clock_timestamp(), lease_id = NULL, lease_until = NULL,
       claims = claims - %(uncounted)s
 WHERE lease_id IS NOT NULL AND holder = %(holder)s
"""

_GIVE_BACK = """
UPDATE webhooks_due SET ready = true, due_at = clock_timestamp(), lease_id = NULL, lease_until = NULL,
       claims = claims - 1
 WHERE lease_id IS NOT NULL AND (
   lease_id = ANY(%(leases)s::uuid[])
   OR (id, lease_id) IN (SELECT * FROM unnest(%(ids)s::uuid[], %(leases_of_ids)s::uuid[])))
"""


@dataclass(slots=True)  # frozen, one would take three times as long to make
class Claimed:
    """A due row under a lease of ours: whose slot it takes, and in how many seconds it may be sent."""

    delivery_id: UUID
    endpoint_id: UUID
    lease_id: UUID
    claims: int
    slot: Lane
    send_in: float


@dataclass(slots=True)
class Turns:
    """Whose turn is next: where the walks over the endpoints go on (one a lane, and one over those that
    are looked at one by one), and which lane comes first.

    `is_cut` when the last claim found nothing as far as it walked, but did not come round.
    """

    cursors: list[UUID] = field(default_factory=lambda: [NO_ENDPOINT] * len(Lane))
    lane: int = 0
    is_cut: bool = False


def claim(
    *,
    turns: Turns,
    room: Sequence[int],
    lease_id: UUID,
    holder: str,
    hands: Mapping[UUID, int] = NO_HANDS,
) -> list[Claimed]:
    """Lease due deliveries, in each lane as many as there is room, a few of each endpoint in turn.

    At most 5 of one endpoint are under a lease at any time, whoever holds it, or as many as `hands` say
    when `holder` holds them all; of one account, no more in a lane when `holder` holds half of its slots'
    worth. `turns` goes on.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM webhooks_take_v2"
            "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::uuid[], %s::integer[])",
            [
                turns.cursors,
                list(room),
                list(ACCOUNT_SHARES),
                turns.lane,
                CLAIM_BATCH,
                ENDPOINT_CAP,
                RATE_HORIZON_SECONDS,
                LEASE_SECONDS,
                lease_id,
                holder,
                list(hands),
                list(hands.values()),
            ],
        )
        rows = cursor.fetchall()
    turns.lane = (turns.lane + 1) % (len(Lane) - 1)
    # The next claim begins where this one ended, so that all endpoints have their turn.
    for walk, endpoint_id in {row[3]: row[1] for row in rows}.items():
        if walk >= 0:
            turns.cursors[walk] = endpoint_id
    claimed = [
        Claimed(delivery_id, endpoint_id, lease_id, claims, _LANES[slot], send_in)
        for delivery_id, endpoint_id, claims, _, slot, send_in in rows
        if delivery_id is not None
    ]
    turns.is_cut = bool(rows) and not claimed
    return claimed


@transaction.atomic
def give_back(lease_ids: Sequence[UUID], single: Sequence[tuple[UUID, UUID]]) -> None:
    """Make deliveries ready again that this process leased and does not send.

    All under `lease_ids`, and of other leases the `single` ones (delivery, lease). Their claim does not
    count: nobody died of them.
    """
    with connection.cursor() as cursor:
        cursor.execute(AFTER_ALL_CLAIMS)
        cursor.execute(
            _GIVE_BACK,
            {
                "leases": list(lease_ids),
                "ids": [delivery_id for delivery_id, _ in single],
                "leases_of_ids": [lease_id for _, lease_id in single],
            },
        )
        if cursor.rowcount:
            log.warning("webhook_leases_given_back", count=cursor.rowcount)


@transaction.atomic
def free_leases_of(holder: str, *, died: bool) -> None:
    """Make ready again all that a process held which is no more, without waiting for the leases' end.

    If it `died`, its claims stay counted, for what it held may be what killed it.
    """
    with connection.cursor() as cursor:
        cursor.execute(AFTER_ALL_CLAIMS)
        cursor.execute(_FREE, {"holder": holder, "uncounted": 0 if died else 1})
        if cursor.rowcount:
            log.warning("webhook_leases_freed", holder=holder, count=cursor.rowcount)


def is_anything_ready() -> bool:
    """Whether something may be claimed once its endpoint has a place free."""
    with connection.cursor() as cursor:
        cursor.execute(_IS_READY)
        return bool(cursor.fetchone()[0])
