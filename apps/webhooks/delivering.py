"""Delivering: from what is owed to this process's sender, and on."""

import threading
import time
from collections.abc import Sequence

import structlog
from django.db import InterfaceError, OperationalError

from apps.common.leases import SLICE_SECONDS
from apps.webhooks.claims import Claimed, claim, is_anything_ready, prepare
from apps.webhooks.fanout import NO_ENDPOINT
from apps.webhooks.leases import Lease, OpenLeases
from apps.webhooks.limits import ACCOUNT_SHARE, CLAIM_BATCH, SLOTS
from apps.webhooks.outcomes import dismiss, record
from apps.webhooks.sender import Sender
from apps.webhooks.services import settle_backlogs
from apps.webhooks.transport import Parcel

WAIT_SECONDS = 1.0
log = structlog.get_logger(__name__)


class Delivering:
    """This process's sender and the one thread at a time that feeds it."""

    def __init__(self) -> None:
        self.sender = Sender(record)
        self.leases = OpenLeases()
        self._feeding = threading.Lock()
        self._asked = threading.Event()
        self._last_endpoint = NO_ENDPOINT

    def deliver(self) -> bool:
        """Claim and hand over until nothing is ready or the slice has passed; True when more may be.

        While one thread of this process feeds, others only ask it to look again.
        """
        deadline = time.monotonic() + SLICE_SECONDS
        self._asked.set()
        more = False
        while self._asked.is_set() and self._feeding.acquire(blocking=False):
            try:
                self._asked.clear()
                self._give_back()
                more = settle_backlogs()
                more = self._feed(deadline) or more
            finally:
                self._feeding.release()
            if more:
                break
        return more

    @property
    def fast_slots(self) -> int:
        """How many deliveries may be leased for the sender without a claim, which shares between accounts:
        what is free of the half that one account may have."""
        return max(self.sender.free - (SLOTS - ACCOUNT_SHARE), 0) if self.leases.may_open else 0

    def stop(self, seconds: float) -> None:
        """End the sender, give what is under way `seconds` for that; others send the rest."""
        self.sender.stop(seconds)
        try:
            self.leases.drop_all()
        except (OperationalError, InterfaceError):
            log.warning("webhook_leases_left")  # until they end, or a process of this name starts

    def hand_over(self, lease: Lease, parcels: Sequence[Parcel]) -> None:
        """Let the sender send what has been taken under `lease`."""
        if self.leases.close(lease):
            self.sender.submit(parcels)

    def _feed(self, deadline: float) -> bool:
        while not self.sender.closing and time.monotonic() < deadline:
            self._give_back()
            room = self.sender.wait_for_room(WAIT_SECONDS)
            if not room:
                continue
            seen = self.sender.recorded
            if not self._claim_some(min(room, CLAIM_BATCH)):
                if not is_anything_ready():
                    return False
                # What is ready waits for a place at its endpoint.
                self.sender.wait_for_record(seen, WAIT_SECONDS)
        return True

    def _claim_some(self, limit: int) -> bool:
        """Claim the next deliveries and send them; False when there is none to claim."""
        lease = self.leases.open()
        try:
            claimed = self._claim_next(limit, lease)
            parcels, dismissals = prepare(claimed, lease.taken_at)
            if dismissals:
                dismiss(dismissals)
        except BaseException:
            self.leases.abandon(lease)
            raise
        self.hand_over(lease, parcels)
        return bool(claimed)

    def _claim_next(self, limit: int, lease: Lease) -> list[Claimed]:
        claimed = claim(
            after=self._last_endpoint, limit=limit, lease_id=lease.id, holder=lease.holder
        )
        if not claimed and self._last_endpoint != NO_ENDPOINT:
            claimed = claim(after=NO_ENDPOINT, limit=limit, lease_id=lease.id, holder=lease.holder)
        if claimed:
            # The next claim begins where this one ended, so that all endpoints have their turn.
            self._last_endpoint = max(one.endpoint_id for one in claimed)
        return claimed

    def _give_back(self) -> None:
        late = list(self.sender.late)
        self.leases.settle(late)
        for _ in late:
            self.sender.late.popleft()


delivering = Delivering()
