"""Delivering: from what is owed to this process's sender, and on."""

import threading
import time

from apps.common.leases import SLICE_SECONDS
from apps.webhooks.claims import claim, is_anything_ready, prepare
from apps.webhooks.fanout import NO_ENDPOINT
from apps.webhooks.limits import CLAIM_BATCH
from apps.webhooks.outcomes import dismiss, record
from apps.webhooks.sender import Sender
from apps.webhooks.services import settle_backlogs

WAIT_SECONDS = 1.0


class Delivering:
    """This process's sender and the one thread at a time that feeds it."""

    def __init__(self) -> None:
        self.sender = Sender(record)
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
                more = settle_backlogs()
                more = self._feed(deadline) or more
            finally:
                self._feeding.release()
            if more:
                break
        return more

    def _feed(self, deadline: float) -> bool:
        while not self.sender.closing and time.monotonic() < deadline:
            room = self.sender.wait_for_room(WAIT_SECONDS)
            if not room:
                continue
            seen = self.sender.recorded
            if not self._hand_over(min(room, CLAIM_BATCH)):
                if not is_anything_ready():
                    return False
                # What is ready waits for a place at its endpoint.
                self.sender.wait_for_record(seen, WAIT_SECONDS)
        return True

    def _hand_over(self, limit: int) -> bool:
        """Claim the next deliveries and send them; False when there is none to claim."""
        leased_at = time.monotonic()
        claimed = claim(after=self._last_endpoint, limit=limit)
        if not claimed and self._last_endpoint != NO_ENDPOINT:
            claimed = claim(after=NO_ENDPOINT, limit=limit)
        if not claimed:
            return False
        # The next claim begins where this one ended, so that all endpoints have their turn.
        self._last_endpoint = max(one.endpoint_id for one in claimed)
        parcels, dismissals = prepare(claimed, leased_at)
        if dismissals:
            dismiss(dismissals)
        self.sender.submit(parcels)
        return True


delivering = Delivering()
