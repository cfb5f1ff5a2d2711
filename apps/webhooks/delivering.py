"""Delivering: from what is owed to this process's sender, and on."""

import threading
import time
from collections.abc import Sequence

import structlog
from django.db import InterfaceError, OperationalError

from apps.common.leases import SLICE_SECONDS
from apps.common.wakeups import wake
from apps.webhooks.claims import Claimed, Turns, claim, is_anything_ready
from apps.webhooks.enums import Lane
from apps.webhooks.leases import Lease, OpenLeases
from apps.webhooks.limits import ACCOUNT_SHARES, CLAIM_BATCH, LANE_SLOTS, MAX_WALKS
from apps.webhooks.outcomes import dismiss, record
from apps.webhooks.preparing import prepare
from apps.webhooks.sender import Sender
from apps.webhooks.services import DELIVER, settle_backlogs
from apps.webhooks.transport import Outcome, Parcel

WAIT_SECONDS = 1.0  # for an outcome; new deliveries of this process end it
log = structlog.get_logger(__name__)


class Delivering:
    """This process's sender and the one thread at a time that feeds it."""

    def __init__(self) -> None:
        self.sender = Sender(self._record)
        self.leases = OpenLeases()
        self._feeding = threading.Lock()
        self._asked = threading.Event()
        self._turns = Turns()

    def deliver(self) -> bool:
        """Claim and hand over until nothing is ready or the slice has passed; True when more may be.

        While one thread of this process feeds, others only ask it to look again.
        """
        deadline = time.monotonic() + SLICE_SECONDS
        self.look_again()
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

    def look_again(self) -> None:
        """Let whoever feeds look at what is owed now, without waiting for an outcome."""
        self._asked.set()
        self.sender.wake()

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

    def _record(self, outcomes: Sequence[Outcome]) -> None:
        record(outcomes)
        if self.sender.late:
            wake(DELIVER)  # to be given back

    def _feed(self, deadline: float) -> bool:
        while not self.sender.closing and time.monotonic() < deadline:
            self._asked.clear()
            self._give_back()
            seen = self.sender.recorded
            claimed = self._claim_some()
            if claimed >= CLAIM_BATCH:
                continue
            if not is_anything_ready():
                return False
            # What is ready waits for a slot, for a place at its endpoint or for its endpoint's pace.
            is_sending = self.sender.wait_for_room(seen, WAIT_SECONDS, self._asked.is_set)
            if not claimed and not is_sending:
                return False
        return True

    def _claim_some(self) -> int:
        """Claim the next deliveries and send them; how many there were."""
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
        return len(claimed)

    def _claim_next(self, lease: Lease) -> list[Claimed]:
        for _ in range(MAX_WALKS):
            claimed = claim(
                turns=self._turns,
                room=self.sender.room,
                lease_id=lease.id,
                holder=lease.holder,
                hands=self.sender.hands,
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
