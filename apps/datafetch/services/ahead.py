"""The request for the next page, made while the page before it is looked at (docs/adr/0046)."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from apps.common.outgoing.pooled import Answer
from apps.datafetch.limits import READERS
from apps.datafetch.services.storing import Known
from apps.datafetch.sources import asking
from apps.datafetch.sources.source import Asked

# Twice as many as read: an answer that nobody waits for any more must not hold up another stream's.
_askers = ThreadPoolExecutor(2 * READERS, "asking")


def conditions(known: Known | None) -> dict[str, str]:
    """By which a server tells that a page is as it was."""
    return {"etag": known.etag, "last_modified": known.last_modified} if known else {}


@dataclass(frozen=True, slots=True)
class Coming:
    """An answer that another thread waits for. Whoever does not use it counts its request all the same."""

    asked: Asked
    given: Mapping[str, str]
    _answer: "Future[Answer]" = field(repr=False)

    @classmethod
    def of(cls, asked: Asked, known: Known) -> "Coming":
        """Ask."""
        given = conditions(known)
        return cls(asked, given, _askers.submit(asking.ask, asked, **given))

    def is_for(self, asked: Asked, known: Known | None) -> bool:
        """Whether it is what would be asked for now."""
        return asked.digest == self.asked.digest and conditions(known) == self.given

    def answer(self) -> Answer:
        """Wait for it; raises SourceFailed as `asking.ask` does."""
        return self._answer.result()
