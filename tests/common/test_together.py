"""What is asked for at the same time is done as one: each gets its own answer, and nobody waits for company."""

import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from apps.common.together import Together
from tests.support import wait_until


class Work:
    """Doubles numbers, once it may; raises what it is told to."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.may_end = threading.Event()
        self.error: BaseException | None = None
        self._one_at_a_time = threading.Lock()

    def __call__(self, numbers: Sequence[int]) -> Sequence[int]:
        assert self._one_at_a_time.acquire(blocking=False)
        self.calls.append(list(numbers))
        assert self.may_end.wait(30)
        self._one_at_a_time.release()
        if self.error is not None:
            raise self.error
        return [number * 2 for number in numbers]


@pytest.fixture
def work() -> Work:
    return Work()


def ask_in_turn(
    together: Together[int, int], numbers: Sequence[int], threads: ThreadPoolExecutor
) -> list["Future[int]"]:
    """Ask from as many threads; each waits in line, or is at work, before the next one asks."""
    found: list[Future[int]] = []
    for nth, number in enumerate(numbers):
        found.append(threads.submit(together.ask, number))
        wait_until(partial(stands, together, nth))
    return found


def stands(together: Together[int, int], waiting: int) -> bool:
    """Whether one is at work and so many wait."""
    return together._turn_of is not None and len(together._waiting) == waiting


def test_who_comes_alone_is_served_alone_and_at_once(work: Work) -> None:
    together = Together(work, most=16, patience=60)
    work.may_end.set()

    assert [together.ask(1), together.ask(2)] == [2, 4]
    assert work.calls == [[1], [2]]


def test_who_comes_meanwhile_is_served_together_and_in_order(work: Work) -> None:
    together = Together(work, most=3, patience=60)
    with ThreadPoolExecutor(6) as threads:
        answers = ask_in_turn(together, range(6), threads)
        work.may_end.set()

        assert [answer.result(30) for answer in answers] == [0, 2, 4, 6, 8, 10]
    assert work.calls == [[0], [1, 2, 3], [4, 5]]


def test_an_error_is_everybodys_for_whom_it_worked_and_nobody_elses(work: Work) -> None:
    together = Together(work, most=2, patience=60)
    work.error = ValueError("broken")
    with ThreadPoolExecutor(4) as threads:
        answers = ask_in_turn(together, range(4), threads)
        work.may_end.set()

        assert [str(answer.exception(30)) for answer in answers] == ["broken"] * 4
    work.error = None

    assert together.ask(4) == 8
    assert work.calls == [[0], [1, 2], [3], [4]]


def test_fewer_answers_than_asked_for_are_an_error() -> None:
    together: Together[int, int] = Together(lambda _: [], most=2, patience=60)

    with pytest.raises(ValueError, match="zip"):
        together.ask(1)
    with pytest.raises(ValueError, match="zip"):
        together.ask(2)


def test_each_of_many_gets_its_own(work: Work) -> None:
    together = Together(work, most=5, patience=60)
    work.may_end.set()

    def asks(nth: int) -> list[int]:
        return [together.ask(nth * 1000 + n) for n in range(1000)]

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(asks, range(16)))

    assert answers == [[2 * (nth * 1000 + n) for n in range(1000)] for nth in range(16)]
    assert sorted(itertools.chain.from_iterable(work.calls)) == list(range(16_000))
    assert max(map(len, work.calls)) <= 5


def test_nobody_waits_for_long_for_one_that_does_not_end() -> None:
    may_end = threading.Event()

    def work(numbers: Sequence[int]) -> Sequence[int]:
        assert 0 not in numbers or may_end.wait(30)
        return [number * 2 for number in numbers]

    together = Together(work, most=2, patience=0.01)
    with ThreadPoolExecutor(6) as threads:
        (first,) = ask_in_turn(together, [0], threads)
        behind = [threads.submit(together.ask, number) for number in range(1, 6)]

        assert [answer.result(30) for answer in behind] == [2, 4, 6, 8, 10]
        assert together._turn_of is None  # who comes now need not wait at all
        assert together.ask(6) == 12
        assert not first.done()
        may_end.set()
        assert first.result(30) == 0

    assert together.ask(7) == 14


def test_of_many_impatient_ones_each_is_served_once() -> None:
    calls: list[list[int]] = []

    def work(numbers: Sequence[int]) -> Sequence[int]:
        calls.append(list(numbers))
        return [number * 2 for number in numbers]

    together = Together(work, most=3, patience=0.00001)

    def asks(nth: int) -> list[int]:
        return [together.ask(nth * 1000 + n) for n in range(1000)]

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(asks, range(16)))

    assert answers == [[2 * (nth * 1000 + n) for n in range(1000)] for nth in range(16)]
    assert sorted(itertools.chain.from_iterable(calls)) == list(range(16_000))
    assert max(map(len, calls)) <= 3
    assert together.ask(7) == 14
