"""Claiming what is owed, and finding all that sending it takes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models.functions import Now

from apps.events.models import Event
from apps.webhooks.enums import DeliveryStatus, EndpointStatus, Reason
from apps.webhooks.limits import ACCOUNT_SHARE, ENDPOINT_CAP, LEASE_SECONDS, MAX_CLAIMS
from apps.webhooks.models import Due, Endpoint, RetiredSecret
from apps.webhooks.signing import key_of
from apps.webhooks.transport import Keyring, Parcel

REMEMBERED_KEYRINGS = 10_000
log = structlog.get_logger(__name__)

# Whether the account may see the event is asked now: a member that left gets nothing more.
_LOAD = """
SELECT d.id, p.id, d.event_id, d.retry_step, d.replay_id, p.url, p.version, p.status, p.deleted_at IS NOT NULL,
       extract(epoch FROM e.occurred_at)::float8,
       e.account_id = p.account_id OR p.account_id = ANY(e.readers) OR EXISTS (
         SELECT FROM events_channelmember m
          WHERE m.channel_id = e.channel_id AND m.account_id = p.account_id)
  FROM webhooks_delivery d
  JOIN webhooks_endpoint p ON p.id = d.endpoint_id
  LEFT JOIN events_event e ON e.id = d.event_id
 WHERE d.id = ANY(%s)
"""

# A claim whose answer nobody awaits any more may still be waiting for its turn.
_AFTER_ALL_CLAIMS = "SELECT pg_advisory_xact_lock(hashtext('tradepost.webhooks.claim'))"

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


@dataclass(frozen=True, slots=True)
class Claimed:
    """A due row under a lease of ours."""

    delivery_id: UUID
    endpoint_id: UUID
    lease_id: UUID
    claims: int


@dataclass(frozen=True, slots=True)
class Dismissal:
    """A claimed delivery that is not to be sent: what becomes of it instead."""

    delivery_id: UUID
    lease_id: UUID
    status: DeliveryStatus
    reason: Reason


def claim(*, after: UUID, limit: int, lease_id: UUID, holder: str) -> list[Claimed]:
    """Lease up to `limit` due deliveries, a few of each endpoint, endpoints after `after` first.

    At most 5 of one endpoint are under a lease at any time, whoever holds it; of one account, no more
    when `holder` holds half of its slots' worth.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM webhooks_claim(%s, %s, %s, %s, %s, %s, %s)",
            [after, limit, ENDPOINT_CAP, LEASE_SECONDS, lease_id, holder, ACCOUNT_SHARE],
        )
        return [
            Claimed(delivery_id, endpoint_id, lease_id, claims)
            for delivery_id, endpoint_id, claims in cursor.fetchall()
        ]


@transaction.atomic
def give_back(lease_ids: Sequence[UUID], single: Sequence[tuple[UUID, UUID]]) -> None:
    """Make deliveries ready again that this process leased and does not send.

    All under `lease_ids`, and of other leases the `single` ones (delivery, lease). Their claim does not
    count: nobody died of them.
    """
    with connection.cursor() as cursor:
        cursor.execute(_AFTER_ALL_CLAIMS)
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
        cursor.execute(_AFTER_ALL_CLAIMS)
        cursor.execute(_FREE, {"holder": holder, "uncounted": 0 if died else 1})
        if cursor.rowcount:
            log.warning("webhook_leases_freed", holder=holder, count=cursor.rowcount)


def is_anything_ready() -> bool:
    """Whether something may be claimed once its endpoint has a place free."""
    return Due.objects.filter(ready=True).exists()


def prepare(claimed: Sequence[Claimed], leased_at: float) -> tuple[list[Parcel], list[Dismissal]]:
    """What to send of `claimed`, and what is not to be sent because things have changed since."""
    if not claimed:
        return [], []
    loaded = _load([one.delivery_id for one in claimed])
    rings = keyrings({found.endpoint_id: found.version for found in loaded.values()})
    bodies = _bodies({found.event_id for found in loaded.values()})
    parcels: list[Parcel] = []
    dismissals: list[Dismissal] = []
    for one in claimed:
        found = loaded.get(one.delivery_id)
        if found is None or found.event_id not in bodies:
            rest = DeliveryStatus.FAILED, Reason.EVENT_GONE
        elif (verdict := _verdict(one, found)) is not None:
            rest = verdict
        else:
            parcels.append(
                Parcel(
                    delivery_id=one.delivery_id,
                    lease_id=one.lease_id,
                    endpoint_id=one.endpoint_id,
                    event_id=found.event_id,
                    step=found.step,
                    url=found.url,
                    keyring=rings[one.endpoint_id],
                    body=bodies[found.event_id],
                    occurred_at=found.occurred_at,
                    leased_at=leased_at,
                    replay_id=found.replay_id,
                )
            )
            continue
        dismissals.append(Dismissal(one.delivery_id, one.lease_id, *rest))
    return parcels, dismissals


class _Loaded(NamedTuple):
    endpoint_id: UUID
    event_id: UUID
    step: int
    replay_id: UUID | None
    url: str
    version: int
    status: str
    is_deleted: bool
    occurred_at: float
    is_visible: bool


def _load(delivery_ids: list[UUID]) -> dict[UUID, _Loaded]:
    with connection.cursor() as cursor:
        cursor.execute(_LOAD, [delivery_ids])
        return {row[0]: _Loaded(*row[1:]) for row in cursor.fetchall()}


def _bodies(event_ids: set[UUID]) -> dict[UUID, bytes]:
    """The payloads of events, each read once however many endpoints get it."""
    rows = Event.objects.filter(pk__in=event_ids).values_list("pk", "payload")
    return {pk: bytes(payload) for pk, payload in rows}


def _verdict(claimed: Claimed, found: _Loaded) -> tuple[DeliveryStatus, Reason] | None:
    """What becomes of a delivery that must not be sent now; None for one that is sent."""
    if found.is_deleted:
        return DeliveryStatus.CANCELED, Reason.ENDPOINT_DELETED
    if found.status != EndpointStatus.ENABLED:
        return DeliveryStatus.PARKED, Reason.ENDPOINT_DISABLED
    if not found.is_visible:
        return DeliveryStatus.CANCELED, Reason.NOT_VISIBLE
    if claimed.claims > MAX_CLAIMS:
        return DeliveryStatus.FAILED, Reason.QUARANTINED
    return None


def keyrings(versions: Mapping[UUID, int]) -> dict[UUID, Keyring]:
    """The keyrings of endpoints, remembered by the endpoint's version, which each rotation raises."""
    known = {
        pk: _keyrings[pk, version] for pk, version in versions.items() if (pk, version) in _keyrings
    }
    missing = [pk for pk in versions if pk not in known]
    return known | _read_keyrings(missing) if missing else known


def _read_keyrings(endpoint_ids: Sequence[UUID]) -> dict[UUID, Keyring]:
    if len(_keyrings) > REMEMBERED_KEYRINGS:
        _keyrings.clear()
    endpoints = list(Endpoint.objects.filter(pk__in=endpoint_ids).only("version", "secret"))
    retired: defaultdict[UUID, list[tuple[bytes, float]]] = defaultdict(list)
    for old in RetiredSecret.objects.filter(
        endpoint_id__in=endpoint_ids, expires_at__gt=Now()
    ).order_by("-pk"):
        retired[old.endpoint_id].append((key_of(old.secret or ""), old.expires_at.timestamp()))
    found: dict[UUID, Keyring] = {}
    for endpoint in endpoints:
        present = (key_of(endpoint.secret or ""), float("inf"))
        found[endpoint.pk] = Keyring((present, *retired[endpoint.pk]))
        _keyrings[endpoint.pk, endpoint.version] = found[endpoint.pk]
    return found


_keyrings: dict[tuple[UUID, int], Keyring] = {}
