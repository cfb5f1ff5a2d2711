"""The present mapping, applied to pages that were fetched before: their raw bodies are kept for some days.

A run like others, but for the network: a page and the checkpoint after it commit together. Pages are taken
in the order in which they were visited, so that of several with one record the newest counts, and no
record goes back to an older page than the one that it was stored from.
"""

import gzip
from dataclasses import replace
from uuid import UUID

import orjson
from django.db import transaction
from django.db.models import Q, QuerySet

from apps.common.actor import Actor
from apps.common.wakeups import wake_on_commit
from apps.datafetch import selectors
from apps.datafetch.enums import Trigger
from apps.datafetch.errors import NothingKept, NotRemappable, RunInProgress
from apps.datafetch.models import Page, Progress, Record, Run, Stream
from apps.datafetch.services import runs, storing
from apps.datafetch.services.checkpoints import Checkpoint
from apps.datafetch.services.commands import locked
from apps.datafetch.services.intake import columns
from apps.datafetch.services.storing import Fetched
from apps.datafetch.services.turns import Turn, worker_failed
from apps.datafetch.sources.expressions import Steps
from apps.datafetch.sources.failures import SourceFailed
from apps.datafetch.sources.pagination import Position
from apps.datafetch.sources.shaping import Records
from apps.datafetch.sources.source import Asked

AHEAD = 1000


@transaction.atomic
def remap_stream(*, account_id: UUID, stream_id: UUID, actor: Actor) -> Run:
    """Begin to apply the stream's configuration to the pages that are kept.

    Raises RunInProgress, NotRemappable when records are not told apart by a key that pages hold, and
    NothingKept.
    """
    stream, progress = locked(account_id, stream_id)
    if progress.run_id is not None:
        raise RunInProgress("A run is in progress. Wait for its end, or stop it.")
    if not stream.primary_key:
        raise NotRemappable(
            "Without primary_key a record with another mapping is another record. POST …/run reads all anew."
        )
    kept = selectors.kept_pages(stream)
    if not kept.pages:
        raise NothingKept(
            "No page is kept that the mapping could be applied to. POST …/run reads the remote API."
        )
    run = runs.begin(stream, progress, trigger=Trigger.REMAP, actor=actor)
    first = Checkpoint(pages_total=kept.pages)
    Progress.objects.filter(pk=progress.pk).update(position=first.stored())
    Run.objects.filter(pk=run.pk).update(checkpoint=first.shown())
    run.checkpoint = first.shown()
    wake_on_commit(runs.READ)
    return run


class Remapping(Turn):
    """A turn with kept pages."""

    def __init__(self, stream: Stream, progress: Progress, run: Run) -> None:
        super().__init__(stream, progress, run)
        self._ahead: list[Page] = []

    def step(self) -> None:
        before = self.checkpoint
        page = self._next(before.at or {})
        if page is None:
            self.checkpoint = replace(before, at=None)
            return
        after = replace(before, at=_position(page), page=before.page + 1)
        storing.store(
            self.stream, self.progress, self.run, self._read_again(page), after, self.held
        )
        self.checkpoint = after

    def finish(self) -> Checkpoint | None:
        runs.end_remap(self.progress)
        return None

    def fail(self, failure: SourceFailed) -> None:
        told = failure.told(self.source.hidden) | {"page": self.checkpoint.page + 1}
        runs.end_remap(self.progress, error=told)

    def give_up(self) -> None:
        self.fail(worker_failed())

    def _next(self, at: Position) -> Page | None:
        """The page after the one at `at`, without its body; looked up a thousand at a time."""
        if not self._ahead:
            rows = selectors.remappable(self.stream).order_by("run_id", "reading", "number")
            rows = _past(rows, at) if at else rows
            self._ahead = list(rows.only("id", "run_id", "reading", "number")[:AHEAD])
            self._ahead.reverse()
        return self._ahead.pop() if self._ahead else None

    def _read_again(self, page: Page) -> Fetched:
        """What the page has by the present configuration; one whose body was trimmed meanwhile, nothing."""
        kept = Page.objects.defer("keys", "next").get(pk=page.pk)
        asked = Asked(url="", bare="", private={}, digest=bytes(kept.request), shown=kept.url)
        again = Fetched(
            asked=asked,
            after=None,
            greatest=None,
            count=0,
            requests=0,
            received=0,
            kept_by=kept.run_id,
        )
        if kept.body is None:
            return again
        steps = Steps()
        found = self.shaped(orjson.loads(gzip.decompress(kept.body)), steps)
        return replace(
            again,
            count=found.count,
            records=columns(self._no_newer(kept, found.records)),
            refused=tuple(found.refused),
            rejected=found.refusals.total(),
            form=found.form,
            form_shape=self.source.form,
            strangers=found.strangers,
        )

    def _no_newer(self, page: Page, records: Records) -> Records:
        """The records of a page but those that were stored from a later visit; runs have ids in the order
        of time, and nobody else stores while this worker has the lease."""
        present = Record.objects.filter(stream_id=self.stream.id, superseded_at=None)
        newer = present.filter(key__in=records.keys, run_id__gt=page.run_id)
        left = set(newer.values_list("key", flat=True))
        return Records.of({key: (digest, data) for key, digest, data in records if key not in left})


def _position(page: Page) -> Position:
    return {"run_id": str(page.run_id), "visit": page.reading, "number": page.number}


def _past(rows: "QuerySet[Page]", at: Position) -> "QuerySet[Page]":
    same_run = Q(run_id=at["run_id"])
    same_visit = same_run & Q(reading=at["visit"])
    later = (
        Q(run_id__gt=at["run_id"])
        | (same_run & Q(reading__gt=at["visit"]))
        | (same_visit & Q(number__gt=at["number"]))
    )
    return rows.filter(later)
