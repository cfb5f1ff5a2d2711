"""Pages of records for a stream's run, stored as its worker does, without a remote API."""

import hashlib
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

from apps.common.actor import system
from apps.common.ids import uuid7
from apps.datafetch.enums import Trigger
from apps.datafetch.models import Progress, Run, Stream
from apps.datafetch.services import runs, storing
from apps.datafetch.services.checkpoints import Checkpoint
from apps.datafetch.services.intake import columns
from apps.datafetch.services.schemas import Held
from apps.datafetch.services.storing import Fetched, HandedOver
from apps.datafetch.sources.forms import Form
from apps.datafetch.sources.shaping import Records
from apps.datafetch.sources.source import Asked
from tests.datafetch.support import make_stream
from tests.support import ApiClient


def hash_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


class Taken(NamedTuple):
    """How many of a page's records were new, and how many had changed."""

    new: int
    changed: int


class Worker:
    """Stores pages of a stream, of which `run` is the one in progress."""

    def __init__(self, client: ApiClient) -> None:
        made = make_stream(client, "https://example.com/items")
        self.stream = Stream.objects.get(pk=made["id"])
        self.begin()

    @property
    def id(self) -> UUID:
        return self.stream.id

    def begin(self) -> None:
        """Begin the next run."""
        self.progress = Progress.objects.get(pk=self.id)
        self.run = runs.begin(
            self.stream, self.progress, trigger=Trigger.MANUAL, actor=system("test")
        )
        Progress.objects.filter(pk=self.id).update(lease_id=uuid7())
        self.progress = Progress.objects.get(pk=self.id)
        self.after, self.held = Checkpoint(), Held()

    def store(self, page: dict[str, str], form: Form | None = None) -> Taken:
        before = Run.objects.get(pk=self.run.pk)
        fetched = self._fetched(page, form or {})
        storing.store(self.stream, self.progress, self.run, fetched, self.after, self.held)
        after = Run.objects.get(pk=self.run.pk)
        return Taken(
            after.records_new - before.records_new, after.records_changed - before.records_changed
        )

    def hand_over(self, page: dict[str, str], before: HandedOver | None = None) -> HandedOver:
        """One that looks like those before it."""
        fetched = self._fetched(page, self.held.form)
        what = (self.stream, self.progress, self.run)
        look = _asked("next")
        handed = storing.hand_over(*what, fetched, self.after, self.held, before, look=look)
        assert handed is not None
        return handed

    def _fetched(self, page: dict[str, str], form: Form) -> Fetched:
        self.after = replace(self.after, page=self.after.page + 1)
        contents = {key: (hash_of(text), text.encode()) for key, text in page.items()}
        return Fetched(
            asked=_asked(str(self.after.page)),
            after={},
            greatest=None,
            count=len(page),
            requests=1,
            received=0,
            records=columns(Records.of(contents)),
            form=form,
        )


def _asked(shown: str) -> Asked:
    return Asked("", "", {}, uuid7().bytes, shown)
