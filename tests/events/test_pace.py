"""How long the dispatcher waits for events to come together, reckoned out over rounds that take as long as
they do on two cores; nobody waits here."""

import random
from collections.abc import Iterator
from statistics import quantiles

import pytest

from apps.events.dispatch import ENOUGH, Pace

WAKE_SECONDS = 0.003
ROUND_SECONDS = 0.008


def arrivals(rate: float, seconds: float, seed: int = 1) -> Iterator[float]:
    """Times by chance, so many a second."""
    chance, at = random.Random(seed), 0.0
    while (at := at + chance.expovariate(rate)) < seconds:
        yield at


def dispatched(times: list[float]) -> tuple[list[float], int]:
    """Seconds from the commit of each event to the end of its round, and how many rounds there were."""
    pace, waits, rounds, now, done = Pace(), [], 0, 0.0, 0
    while done < len(times):
        now = max(now, times[done] + WAKE_SECONDS)
        stamped = next((n for n, at in enumerate(times[done:]) if at > now), len(times) - done)
        while stamped:
            rounds += 1
            now += ROUND_SECONDS
            waits += [now - at for at in times[done : done + stamped]]
            done += stamped
            wait = pace.gathering(done, now)
            now += wait if stamped < ENOUGH else 0.0
            stamped = next((n for n, at in enumerate(times[done:]) if at > now), len(times) - done)
    return waits, rounds


@pytest.mark.parametrize("rate", [10, 50, 100, 150, 200, 250])
def test_a_webhook_of_up_to_250_events_a_second_can_be_sent_within_30_ms(rate: int) -> None:
    waits, _ = dispatched(list(arrivals(rate, 30)))

    assert quantiles(waits, n=100)[98] < 0.027  # and 3 ms to send it


def test_few_events_wait_for_no_others() -> None:
    waits, _ = dispatched(list(arrivals(50, 30)))

    assert max(waits) < WAKE_SECONDS + 2 * ROUND_SECONDS


def test_many_come_together() -> None:
    times = list(arrivals(700, 30))

    _, rounds = dispatched(times)

    assert len(times) / rounds > ENOUGH * 0.7


def test_a_burst_is_forgotten_within_seconds() -> None:
    burst = [index / 1000 for index in range(1000)]
    later = [3 + at for at in arrivals(50, 10)]

    waits, _ = dispatched(burst + later)

    assert max(waits[1000:]) < WAKE_SECONDS + 2 * ROUND_SECONDS


def test_positions_that_others_gave_count_too() -> None:
    pace = Pace()

    gatherings = [pace.gathering(index * 10, index * 0.01) for index in range(200)]

    assert gatherings[0] == 0
    assert gatherings[-1] == pytest.approx(0.1)
