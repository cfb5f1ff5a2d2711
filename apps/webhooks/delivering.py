"""Delivering: from what is owed to this process's sender, and on."""

import threading
import time
from collections.abc import Sequence

import structlog
from django.db import InterfaceError, OperationalError

from apps.common.leases import SLICE_SECONDS
from apps.webhooks.claims import Claimed, Turns, claim, is_anything_ready
from apps.webhooks.enums import Lane
from apps.webhooks.leases import Lease, OpenLeases
from apps.webhooks.limits import ACCOUNT_SHARES, LANE_SLOTS, MAX_WALKS
from apps.webhooks.outcomes import dismiss, record
from apps.webhooks.preparing import prepare
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
        self._turns = Turns()

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
        if not self.leases.may_open:
            return 0
        reserved = LANE_SLOTS[Lane.FIRST] - ACCOUNT_SHARES[Lane.FIRST]
        return max(self.sender.room[Lane.FIRST] - reserved, 0)

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
            seen = self.sender.recorded
            if not self._claim_some():
                if not is_anything_ready():
                    return False
                # What is ready waits for a slot, for a place at its endpoint or for its endpoint's pace.
                if not self.sender.wait_for_record(seen, WAIT_SECONDS):
                    return False
        return True

    def _claim_some(self) -> bool:
        """Claim the next deliveries and send them; False when there is none to claim."""
        lease = self.leases.open()
        try:
            claimed = self._claim_next(lease)
            parcels, dismissals = prepare(claimed, lease.taken_at)
            if dismissals:
                dismiss(dismissals)
        except BaseException:
            self.leases.abandon(lease)
            raise
        self.hand_over(lease, parcels)
        return bool(claimed)

    def _claim_next(self, lease: Lease) -> list[Claimed]:
        for _ in range(MAX_WALKS):
            claimed = claim(
                turns=self._turns, room=self.sender.room, lease_id=lease.id, holder=lease.holder
            )
            if claimed or not self._turns.is_cut:
                return claimed
        return []

    def _give_back(self) -> None:
        late = list(self.sender.late)
        self.leases.settle(late)
        for _ in late:
            self.sender.late.popleft()


delivering = Delivering()
