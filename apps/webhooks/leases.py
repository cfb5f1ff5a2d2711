"""Leases of this process that are not in its sender's custody yet, and what becomes of them."""

import os
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from apps.webhooks.claims import free_leases_of, give_back
from apps.webhooks.limits import MAX_WAIT_SECONDS
from apps.webhooks.transport import Parcel


@dataclass(frozen=True, slots=True)
class Lease:
    """What one statement leases. The id is made before, so that it is known whatever becomes of the
    answer; `holder` names the process; `taken_at` is `time.monotonic()`."""

    id: UUID
    holder: str
    taken_at: float


class OpenLeases:
    """Leases between the statement that takes them and the sender.

    An error or a lost answer on that way may leave deliveries leased that nobody is going to send. They
    are given back: at once when it is certain, else once the time is over after which they would not be
    sent any more.

    Nobody can do so for a process that was killed, but the next one with its name, before it takes leases
    itself.
    """

    def __init__(self) -> None:
        self._holder = f"{socket.gethostname()}:{os.getpid()}"
        self._is_heir = False
        self._lock = threading.Lock()
        self._taken_at: dict[UUID, float] = {}

    @property
    def may_open(self) -> bool:
        """Not while leases of an earlier process of this name may be left."""
        return not self._is_heir

    def take_over(self, name: str) -> None:
        """Be `name` from now on, which no other process is, and free what an earlier one left behind
        when it was killed (`settle` does)."""
        self._holder, self._is_heir = name, True

    def drop_all(self) -> None:
        """Free all that this process holds, which sends nothing any more."""
        free_leases_of(self._holder, died=self._is_heir)

    def open(self) -> Lease:
        """A lease to take deliveries under; close it when they are handed over."""
        lease = Lease(uuid4(), self._holder, time.monotonic())
        with self._lock:
            self._taken_at[lease.id] = lease.taken_at
        return lease

    def close(self, lease: Lease) -> bool:
        """Whether what was taken under it may be sent: not when that took too long."""
        with self._lock:
            if self._taken_at.pop(lease.id, None) is not None:
                return True
        self.abandon(lease)
        return False

    def abandon(self, lease: Lease) -> None:
        """Nothing that was taken under it is going to be sent."""
        with self._lock:
            self._taken_at[lease.id] = float("-inf")

    def settle(self, late: Sequence[Parcel]) -> None:
        """Give back what is abandoned, and `late`; errors of the database leave it for the next call."""
        if self._is_heir:
            free_leases_of(self._holder, died=True)
            self._is_heir = False
        oldest = time.monotonic() - MAX_WAIT_SECONDS
        with self._lock:
            stray = [lease_id for lease_id, at in self._taken_at.items() if at < oldest]
            for lease_id in stray:
                del self._taken_at[lease_id]
        if not stray and not late:
            return
        try:
            give_back(stray, [(one.delivery_id, one.lease_id) for one in late])
        except BaseException:
            with self._lock:
                self._taken_at |= dict.fromkeys(stray, float("-inf"))
            raise
