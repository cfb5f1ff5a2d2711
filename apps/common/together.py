"""What several threads of a process ask for at the same time, done as one."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass(slots=True, eq=False)
class _Place(Generic[Asked, Answer]):
    """Whoever stands here waits for `turn`: then there is an answer, or an error, or it is the one to work."""

    asked: Asked
    turn: threading.Lock = field(default_factory=threading.Lock)
    answer: Answer | None = None
    error: BaseException | None = None
    is_served: bool = False


class Together(Generic[Asked, Answer]):
    """Calls `work` with all that is asked for, up to `most` at a time, and not twice at a time.

    Nobody waits for company: who comes while nothing is at work begins at once. Who comes meanwhile is served
    together with all others that came, once that has ended, by the first of them. `work` gives an answer for
    each, in their order; what it raises is raised to all whom it worked for. Who has waited for `patience` seconds,
    and is not being worked for, takes the turn, also for those who came after it: what is at work may never end.
    """

    def __init__(
        self, work: Callable[[Sequence[Asked]], Sequence[Answer]], *, most: int, patience: float
    ) -> None:
        self._work = work
        self._most = most
        self._patience = patience
        self._lock = threading.Lock()
        self._waiting: deque[_Place[Asked, Answer]] = deque()
        self._turn_of: _Place[Asked, Answer] | None = None

    def ask(self, asked: Asked) -> Answer:
        """The answer to this one."""
        place: _Place[Asked, Answer] = _Place(asked)
        place.turn.acquire()
        with self._lock:
            self._waiting.append(place)
            must_wait = self._turn_of is not None
            if not must_wait:
                self._turn_of = place
        while must_wait and not place.turn.acquire(timeout=self._patience):
            must_wait = not self._takes_turn(place)
        if not place.is_served:
            self._serve(place)
        if place.error is not None:
            raise place.error
        return cast(Answer, place.answer)

    def _takes_turn(self, place: _Place[Asked, Answer]) -> bool:
        """Have it take the turn from whoever is at work, unless that one works for it, or has just ended."""
        with self._lock:
            may_take = place in self._waiting and self._turn_of not in self._waiting
            if may_take:
                self._turn_of = place
        return may_take

    def _serve(self, first: _Place[Asked, Answer]) -> None:
        """Work for this one, and for those who have waited longest."""
        with self._lock:
            self._waiting.remove(first)
            others = min(len(self._waiting), self._most - 1)
            places = [first, *(self._waiting.popleft() for _ in range(others))]
        try:
            answers = self._work([place.asked for place in places])
            for place, answer in zip(places, answers, strict=True):
                place.answer = answer
        except BaseException as error:
            for place in places:
                place.error = error
        with self._lock:
            if self._turn_of is first:
                self._turn_of = self._waiting[0] if self._waiting else None
                if self._turn_of is not None:
                    self._turn_of.turn.release()
        for place in places:
            place.is_served = True
            place.turn.release()
