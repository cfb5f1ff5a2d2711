"""The request for the next page, sent while the page before it is looked at (docs/adr/0046)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from apps.common.outgoing.pooled import Answer
from apps.datafetch.services.storing import Known
from apps.datafetch.sources.asking import Request
from apps.datafetch.sources.source import Asked


def conditions(known: Known | None) -> dict[str, str]:
    """By which a server tells that a page is as it was."""
    return {"etag": known.etag, "last_modified": known.last_modified} if known else {}


@dataclass(frozen=True, slots=True)
class Coming:
    """An answer that is on its way. Whoever drops it counts its request all the same."""

    asked: Asked
    given: Mapping[str, str]
    _request: Request = field(repr=False)

    @classmethod
    def of(cls, asked: Asked, known: Known) -> "Coming":
        """Ask; raises SourceFailed when the request cannot leave."""
        given = conditions(known)
        return cls(asked, given, Request(asked, **given))

    def is_for(self, asked: Asked, known: Known | None) -> bool:
        """Whether it is what would be asked for now."""
        return asked.digest == self.asked.digest and conditions(known) == self.given

    def answer(self) -> Answer:
        """Wait for it; raises SourceFailed as a request does."""
        return self._request.answer()

    def drop(self) -> None:
        """Do not wait for it."""
        self._request.drop()
