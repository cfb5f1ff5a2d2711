"""What several threads of a process ask for at the same time, done as one."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass(slots=True)
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
    each, in their order; what it raises is raised to all whom it worked for.
    """

    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Answer]], *, most: int) -> None:
        self._work = work
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[_Place[Asked, Answer]] = deque()
        self._is_at_work = False

    def ask(self, asked: Asked) -> Answer:
        """The answer to this one."""
        place: _Place[Asked, Answer] = _Place(asked)
        place.turn.acquire()
        with self._lock:
            self._waiting.append(place)
            must_wait, self._is_at_work = self._is_at_work, True
        if must_wait:
            place.turn.acquire()
        if not place.is_served:
            self._serve()
        if place.error is not None:
            raise place.error
        return place.answer  # type: ignore[return-value]  # served, so it has one, which may be None

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
