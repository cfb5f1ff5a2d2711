"""What a sender holds for one endpoint: a few requests under way, the rest in line behind them.

An endpoint that answers well and quickly gets a longer line, so that one claim and one recording are for
many deliveries; never more than it is expected to take off again within a quarter of a second.
"""

import time
from collections import deque
from uuid import UUID

from apps.webhooks.enums import Lane
from apps.webhooks.limits import ENDPOINT_CAP, HAND, HAND_SECONDS
from apps.webhooks.transport import Outcome, Parcel

# The last of so many answers weigh as much as all before.
_MEMORY = 8
REMEMBERED = 4096
HAND_REMEMBERED_SECONDS = 1.0


class Line:
    """Not safe for threads: it belongs to the sender's loop."""

    __slots__ = ("_seconds", "_successes", "_turn", "_waiting", "is_long", "under_way")

    def __init__(self) -> None:
        self.under_way = 0
        self.is_long = False  # whether more came than may be under way
        self._waiting: list[deque[Parcel]] = [deque() for _ in Lane]
        self._turn = 0
        self._successes = 0  # in a row
        self._seconds = 0.0

    def add(self, parcel: Parcel) -> None:
        self._waiting[parcel.slot].append(parcel)

    def next(self) -> Parcel | None:
        """The next to be sent: lanes take turns."""
        for _ in self._waiting:
            self._turn = (self._turn + 1) % len(self._waiting)
            if self._waiting[self._turn]:
                return self._waiting[self._turn].popleft()
        return None

    def take_back(self) -> list[Parcel]:
        """All that is waiting, which waits no more."""
        waiting = [parcel for lane in self._waiting for parcel in lane]
        for lane in self._waiting:
            lane.clear()
        return waiting

    def note(self, outcome: Outcome) -> None:
        """Learn from an answer."""
        if not outcome.is_success:
            self._successes = 0
            return
        self._successes += 1
        self._seconds += (outcome.duration - self._seconds) / min(self._successes, _MEMORY)

    @property
    def hand(self) -> int:
        """How many deliveries this process may hold for it."""
        if self._successes < ENDPOINT_CAP:
            return ENDPOINT_CAP
        soon = int(ENDPOINT_CAP * HAND_SECONDS / max(self._seconds, 1e-6))
        return max(ENDPOINT_CAP, min(HAND, self._successes, soon))


class Lines:
    """The lines of all endpoints."""

    def __init__(self) -> None:
        self._of: dict[UUID, Line] = {}
        self._hands: dict[UUID, tuple[int, float]] = {}

    def add(self, parcel: Parcel) -> Line:
        """Put it in its line, which is returned."""
        line = self._of.get(parcel.endpoint_id)
        if line is None:
            if len(self._of) >= REMEMBERED:
                self._of = {key: one for key, one in self._of.items() if one.under_way}
            line = self._of[parcel.endpoint_id] = Line()
        line.add(parcel)
        line.is_long = line.is_long or line.under_way >= ENDPOINT_CAP - 1
        return line

    def note(self, line: Line, outcome: Outcome) -> None:
        """Learn from an answer."""
        line.note(outcome)
        if line.is_long:
            self._hands[outcome.parcel.endpoint_id] = (line.hand, time.monotonic())

    @property
    def hands(self) -> dict[UUID, int]:
        """For any thread: the hands of endpoints that were busy within the last second."""
        recent = time.monotonic() - HAND_REMEMBERED_SECONDS
        found: dict[UUID, int] = {}
        for endpoint_id, (hand, at) in self._hands.copy().items():  # in one go: the loop adds to it
            if at < recent:
                self._hands.pop(endpoint_id, None)
            elif hand > ENDPOINT_CAP:
                found[endpoint_id] = hand
        return found
