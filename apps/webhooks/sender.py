"""The sender: one event loop that posts, one database thread that records. One of each a process.

Whoever holds leased deliveries hands them over with `submit`; from then on they are in custody until
their outcome is recorded. Nothing here waits for one delivery on behalf of another, and no transaction
is open while a request is under way.
"""

import asyncio
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connections
from prometheus_client import Gauge

from apps.common.outgoing import aio
from apps.webhooks.enums import Lane
from apps.webhooks.limits import ENDPOINT_CAP, LANE_SLOTS, LEASE_SECONDS, MAX_WAIT_SECONDS
from apps.webhooks.lines import Line, Lines
from apps.webhooks.transport import HEADERS, Outcome, Parcel, post

RECORD_BATCH = 256
# While it holds this many, claims and recordings wait a moment to be for more deliveries.
MANY = 32
GATHER_SECONDS = 0.01
PAUSE_SECONDS = 0.5  # between two tries of a database that cannot be reached
# Threads that come back from the database wait for the busy loop to give way: 5 ms each time by default.
SWITCH_SECONDS = 0.0005

in_custody = Gauge(
    "tradepost_webhook_in_custody",
    "Deliveries that senders hold, from the claim to the recorded outcome",
    multiprocess_mode="livesum",
)
log = structlog.get_logger(__name__)

Record = Callable[[Sequence[Outcome]], None]


class Sender:
    """Starts with the first delivery; `stop` ends it for good."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._held = dict.fromkeys(Lane, 0)
        self._recorded = 0
        self._lines = Lines()
        # What it does not send, because it waited for too long or its endpoint fails: to be given back.
        self.late: deque[Parcel] = deque()
        self._changed = threading.Condition()
        self._outcomes: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._stopped = False

    @property
    def room(self) -> list[int]:
        """How many more deliveries it wants now, lane by lane."""
        with self._changed:
            return [
                0 if self._closing else max(slots - self._held[lane], 0)
                for lane, slots in LANE_SLOTS.items()
            ]

    @property
    def hands(self) -> dict[UUID, int]:
        """Endpoints for which it wants to hold more than usual, and how many deliveries."""
        return self._lines.hands

    @property
    def closing(self) -> bool:
        """Whether nothing more should be claimed for it."""
        return self._closing

    @property
    def recorded(self) -> int:
        """How many outcomes it has recorded so far."""
        return self._recorded

    def submit(self, parcels: Sequence[Parcel]) -> None:
        """Take leased deliveries into custody. One that has stopped leaves them to their leases."""
        if not parcels:
            return
        with self._changed:
            if self._stopped:
                return
            if self._loop is None:
                self._loop = self._start()
            for parcel in parcels:
                self._held[parcel.slot] += 1
            loop = self._loop
        in_custody.inc(len(parcels))
        loop.call_soon_threadsafe(self._launch, parcels)

    def wait_for_room(self, seen: int, seconds: float, is_asked: Callable[[], bool]) -> bool:
        """Wait for an outcome to be recorded or to be asked, for `seconds` at most, and then shortly until half
        of what it holds is recorded, so that the next claim is for many. False, at once, when it holds
        nothing, and has recorded nothing since `recorded` was `seen`."""
        with self._changed:
            held, start = sum(self._held.values()), self._recorded
            if not held:
                return start != seen

            def has_room(count: int) -> bool:
                return self._closing or self._recorded - start >= count

            if self._changed.wait_for(lambda: has_room(1) or is_asked(), seconds):
                self._changed.wait_for(lambda: has_room(held // 2), GATHER_SECONDS)
            return True

    def wake(self) -> None:
        """Let `wait_for_room` ask again."""
        with self._changed:
            self._changed.notify_all()

    def wait_until_empty(self, seconds: float) -> bool:
        """Whether everything in custody is recorded within `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: not any(self._held.values()), seconds)

    def close(self) -> None:
        """Want nothing more. Takes no lock, for it is called from a signal handler."""
        self._closing = True

    def stop(self, seconds: float) -> None:
        """Give what is under way `seconds` to end. What does not is the caller's to free."""
        self.close()
        if not self.wait_until_empty(seconds):
            log.warning("sender_stopped_early", left=sum(self._held.values()))
        with self._changed:
            self._stopped = True
            loop = self._loop
        if loop is None:
            return
        self._outcomes.put(None)  # first: what is cut off by the end is nobody's failure
        loop.call_soon_threadsafe(self._ended.set)
        for thread in self._threads:
            thread.join(seconds)

    def _start(self) -> asyncio.AbstractEventLoop:
        sys.setswitchinterval(SWITCH_SECONDS)
        loop = asyncio.new_event_loop()
        started = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._run_loop, args=(loop, started), name="sender", daemon=True
            ),
            threading.Thread(target=self._run_database, name="sender-database", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        started.wait()
        return loop

    def _run_loop(self, loop: asyncio.AbstractEventLoop, started: threading.Event) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._main(started))

    async def _main(self, started: threading.Event) -> None:
        async with aio.Client(HEADERS) as self._client:
            started.set()
            await self._ended.wait()

    def _launch(self, parcels: Sequence[Parcel]) -> None:
        for parcel in parcels:
            line = self._lines.add(parcel)
            if line.under_way < ENDPOINT_CAP:
                line.under_way += 1
                task = asyncio.get_running_loop().create_task(self._send_all(line))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _send_all(self, line: Line) -> None:
        """Send what is in line, one after the other; up to ENDPOINT_CAP tasks do so."""
        try:
            while (parcel := line.next()) is not None:
                early = parcel.send_at - time.monotonic()
                if early > 0:
                    await asyncio.sleep(early)
                if time.monotonic() - parcel.leased_at > MAX_WAIT_SECONDS:
                    # Whoever takes it next has a whole lease.
                    log.warning("webhook_waited_too_long", delivery_id=str(parcel.delivery_id))
                    self._give_up([parcel])
                    continue
                outcome = await post(self._client, parcel)
                self._lines.note(line, outcome)
                if not outcome.is_success or outcome.control.pause is not None:
                    # How it goes on is decided where failures are counted and pauses kept, not in this line.
                    self._give_up(line.take_back())
                self._outcomes.put(outcome)
        finally:
            line.under_way -= 1

    def _give_up(self, parcels: Sequence[Parcel]) -> None:
        self.late.extend(parcels)
        self._let_go(parcels)

    def _run_database(self) -> None:
        try:
            while batch := self._next_batch():
                self._record_all(batch, time.monotonic() + LEASE_SECONDS)
                if self._outcomes.empty():
                    connections.close_all()  # back to the pool
                self._let_go([outcome.parcel for outcome in batch])
        finally:
            connections.close_all()

    def _next_batch(self) -> list[Outcome]:
        """All outcomes there are, as soon as there is one; empty at the end."""
        batch: list[Outcome] = []
        outcome = self._outcomes.get()
        if sum(self._held.values()) >= MANY and not self._closing:
            time.sleep(GATHER_SECONDS / 2)
        while outcome is not None:
            batch.append(outcome)
            if len(batch) == RECORD_BATCH or self._outcomes.empty():
                return batch
            outcome = self._outcomes.get()
        self._outcomes.put(None)
        return batch

    def _record_all(self, batch: Sequence[Outcome], deadline: float) -> None:
        """Record, however long the database is away, until the leases are over; what is left then is
        sent again. One outcome that cannot be recorded is kept from spoiling the others."""
        while True:
            try:
                return self._record(batch)
            except (OperationalError, InterfaceError) as error:
                connections.close_all()
                if self._stopped or time.monotonic() >= deadline:
                    log.exception("webhook_outcomes_lost", count=len(batch))
                    return None
                log.warning("webhook_record_retried", error=repr(error))
                time.sleep(PAUSE_SECONDS)
            except Exception:
                if len(batch) == 1:
                    log.exception(
                        "webhook_outcome_lost", delivery_id=str(batch[0].parcel.delivery_id)
                    )
                    return None
                for outcome in batch:
                    self._record_all([outcome], deadline)
                return None

    def _let_go(self, parcels: Sequence[Parcel]) -> None:
        in_custody.dec(len(parcels))
        with self._changed:
            for parcel in parcels:
                self._held[parcel.slot] -= 1
            self._recorded += len(parcels)
            self._changed.notify_all()
