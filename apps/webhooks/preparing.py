"""Finding all that sending a claimed delivery takes, or why it is not to be sent."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, ProgrammingError, connection
from django.db.models.functions import Now

from apps.common.encryption import UndecipherableError
from apps.webhooks.claims import Claimed
from apps.webhooks.enums import DeliveryStatus, EndpointStatus, Reason
from apps.webhooks.limits import MAX_CLAIMS
from apps.webhooks.models import Endpoint, RetiredSecret
from apps.webhooks.signing import key_of
from apps.webhooks.transport import Keyring, Parcel

REMEMBERED_KEYRINGS = 10_000
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Dismissal:
    """A claimed delivery that is not to be sent: what becomes of it instead."""

    delivery_id: UUID
    lease_id: UUID
    status: DeliveryStatus
    reason: Reason


Prepared = tuple[list[Parcel], list[Dismissal]]


def prepare(claimed: Sequence[Claimed], leased_at: float) -> Prepared:
    """What to send of `claimed`, and what is not to be sent because things have changed since.

    One that cannot be prepared, for whatever reason but the database, does not spoil the others: it is in
    neither list, stays under its lease, and is set aside when that has happened five times.
    """
    dangers = [one for one in claimed if one.claims > MAX_CLAIMS]
    dismissals = [_dismissed(one, DeliveryStatus.PARKED, Reason.QUARANTINED) for one in dangers]
    parcels: list[Parcel] = []
    for some in _prepared_apart([one for one in claimed if one.claims <= MAX_CLAIMS], leased_at):
        parcels += some[0]
        dismissals += some[1]
    return parcels, dismissals


def _prepared_apart(claimed: Sequence[Claimed], leased_at: float) -> list[Prepared]:
    """All of them together, or each half by itself when that fails."""
    if not claimed:
        return []
    try:
        return [_prepared(claimed, leased_at)]
    except (OperationalError, InterfaceError, ProgrammingError):
        raise
    except Exception:
        if len(claimed) == 1:
            log.exception(
                "webhook_not_prepared",
                delivery_id=str(claimed[0].delivery_id),
                claims=claimed[0].claims,
            )
            return []
        middle = len(claimed) // 2
        return [
            *_prepared_apart(claimed[:middle], leased_at),
            *_prepared_apart(claimed[middle:], leased_at),
        ]


def _prepared(claimed: Sequence[Claimed], leased_at: float) -> Prepared:
    loaded = _load([one.delivery_id for one in claimed])
    rings = keyrings({found.endpoint_id: found.version for found in loaded.values()})
    bodies = {found.event_id: found.body for found in loaded.values() if found.body is not None}
    parcels: list[Parcel] = []
    dismissals: list[Dismissal] = []
    for one in claimed:
        found = loaded.get(one.delivery_id)
        if found is None or found.event_id not in bodies:
            dismissals.append(_dismissed(one, DeliveryStatus.FAILED, Reason.EVENT_GONE))
        elif (verdict := _verdict(found)) is not None:
            dismissals.append(_dismissed(one, *verdict))
        elif (keyring := rings.get(one.endpoint_id)) is None:
            dismissals.append(_dismissed(one, DeliveryStatus.PARKED, Reason.UNREADABLE))
        else:
            parcels.append(_parcel(one, found, keyring, bodies[found.event_id], leased_at))
    return parcels, dismissals


def _parcel(
    one: Claimed, found: "_Loaded", keyring: Keyring, body: bytes, leased_at: float
) -> Parcel:
    return Parcel(
        delivery_id=one.delivery_id,
        lease_id=one.lease_id,
        endpoint_id=one.endpoint_id,
        event_id=found.event_id,
        step=found.step,
        url=found.url,
        keyring=keyring,
        body=body,
        occurred_at=found.occurred_at,
        leased_at=leased_at,
        send_at=time.monotonic()
        + one.send_in,  # a claim counts from its turn, for which it may have waited
        slot=one.slot,
        is_set_aside=found.is_set_aside,
        is_watched=found.is_watched,
        replay_id=found.replay_id,
    )


def _dismissed(one: Claimed, status: DeliveryStatus, reason: Reason) -> Dismissal:
    return Dismissal(one.delivery_id, one.lease_id, status, reason)


class _Loaded(NamedTuple):
    endpoint_id: UUID
    event_id: UUID
    step: int
    replay_id: UUID | None
    url: str
    version: int
    status: str
    is_deleted: bool
    is_set_aside: bool
    is_watched: bool
    occurred_at: float
    is_visible: bool
    body: bytes | None


def _load(delivery_ids: list[UUID]) -> dict[UUID, _Loaded]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM webhooks_load(%s)", [delivery_ids])
        return {row[0]: _Loaded(*row[1:]) for row in cursor.fetchall()}


def _verdict(found: _Loaded) -> tuple[DeliveryStatus, Reason] | None:
    """What becomes of a delivery that must not be sent now; None for one that is sent."""
    if found.is_deleted:
        return DeliveryStatus.CANCELED, Reason.ENDPOINT_DELETED
    if found.status == EndpointStatus.DISABLED:
        return DeliveryStatus.PARKED, Reason.ENDPOINT_DISABLED
    if not found.is_visible:
        return DeliveryStatus.CANCELED, Reason.NOT_VISIBLE
    return None


def keyrings(versions: Mapping[UUID, int]) -> dict[UUID, Keyring]:
    """The keyrings of endpoints, remembered by the endpoint's version, which each rotation raises.

    An endpoint whose secret cannot be read has none.
    """
    known = {
        pk: _keyrings[pk, version] for pk, version in versions.items() if (pk, version) in _keyrings
    }
    missing = [pk for pk in versions if pk not in known]
    return known | _read_keyrings(missing) if missing else known


def _read_keyrings(endpoint_ids: Sequence[UUID]) -> dict[UUID, Keyring]:
    try:
        return _keyrings_of(endpoint_ids)
    except (UndecipherableError, ValueError) as error:
        if len(endpoint_ids) == 1:
            log.warning(
                "webhook_secret_unreadable", endpoint_id=str(endpoint_ids[0]), error=str(error)
            )
            return {}
        middle = len(endpoint_ids) // 2
        return _read_keyrings(endpoint_ids[:middle]) | _read_keyrings(endpoint_ids[middle:])


def _keyrings_of(endpoint_ids: Sequence[UUID]) -> dict[UUID, Keyring]:
    if len(_keyrings) > REMEMBERED_KEYRINGS:
        _keyrings.clear()
    chosen = Endpoint.objects.filter(pk__in=endpoint_ids)
    endpoints = list(chosen.defer(None).only("version", "secret"))
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
