"""What several threads of a process ask for at the same time, done as one."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

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
    """Calls `work` with all that is asked for, up to `most` at a time, and never twice at a time.

    Nobody waits for company: who comes while nothing is at work begins at once. Who comes meanwhile is served
    together with all others that came, once that has ended, by the first of them. `work` gives an answer for
    each, in their order; what it raises is raised to all whom it worked for. Who has waited for `patience` seconds,
    and is not being worked for, goes away: what is at work may never end.
    """

    def __init__(
        self, work: Callable[[Sequence[Asked]], Sequence[Answer]], *, most: int, patience: float
    ) -> None:
        self._work = work
        self._most = most
        self._patience = patience
        self._lock = threading.Lock()
        self._waiting: deque[_Place[Asked, Answer]] = deque()
        self._is_at_work = False

    def ask(self, asked: Asked) -> Answer | None:
        """The answer to this one; None, and nothing was done for it, when its turn did not come in time."""
        place: _Place[Asked, Answer] = _Place(asked)
        place.turn.acquire()
        with self._lock:
            self._waiting.append(place)
            must_wait, self._is_at_work = self._is_at_work, True
        if must_wait and not self._comes(place):
            return None
        if not place.is_served:
            self._serve()
        if place.error is not None:
            raise place.error
        return place.answer

    def _comes(self, place: _Place[Asked, Answer]) -> bool:
        """Wait for its turn; False once it no longer stands in line."""
        if place.turn.acquire(timeout=self._patience):
            return True
        with self._lock:  # has nobody given it the turn, or begun to work for it, this moment?
            has_gone = place in self._waiting and place.turn.locked()
            if has_gone:
                self._waiting.remove(place)
        return not has_gone and place.turn.acquire()

    def _serve(self) -> None:
        """Work for the first of those who wait."""
        with self._lock:
            places = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
        try:
            answers = self._work([place.asked for place in places])
            for place, answer in zip(places, answers, strict=True):
                place.answer = answer
        except BaseException as error:
            for place in places:
                place.error = error
        with self._lock:
            self._is_at_work = bool(self._waiting)
            if self._waiting:
                self._waiting[0].turn.release()
        for place in places:
            place.is_served = True
            place.turn.release()
