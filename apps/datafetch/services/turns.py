"""A worker's turn with a stream, whatever it is for: the lease, the stop, the end of its time."""

import threading
import time
from abc import ABC, abstractmethod
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from django.db.models import Case, When
from django.db.models.functions import Now

from apps.common.leases import settle
from apps.datafetch import limits
from apps.datafetch.enums import SchemaPolicy
from apps.datafetch.models import Progress, Run, Stream
from apps.datafetch.services import runs, schemas
from apps.datafetch.services.checkpoints import Checkpoint
from apps.datafetch.services.storing import ConfigurationChanged
from apps.datafetch.sources import shaping
from apps.datafetch.sources.expressions import Steps
from apps.datafetch.sources.failures import SourceFailed
from apps.datafetch.sources.source import Source

# Set when the worker shuts down: turns end at their next page.
closing = threading.Event()


class Turn(ABC):
    """One stream under a lease, for some seconds: steps of a page each, until the run ends or must wait."""

    def __init__(self, stream: Stream, progress: Progress, run: Run) -> None:
        self.stream = stream
        self.progress = progress
        self.run = run
        self.source = source_of(stream)
        self.checkpoint = Checkpoint.of(progress) or Checkpoint.beginning(stream, progress, run)
        self.held = schemas.Held()
        self.ends_at = time.monotonic() + limits.TURN_SECONDS

    @abstractmethod
    def step(self) -> None:
        """Work off the page at the checkpoint and store it with the checkpoint after it."""

    @abstractmethod
    def finish(self) -> Checkpoint | None:
        """End the run after its last page; None, or where it has to go on."""

    @abstractmethod
    def fail(self, failure: SourceFailed) -> None:
        """Deal with a page that could not be had or understood."""

    @abstractmethod
    def give_up(self) -> None:
        """End a run of which workers keep dying."""

    def may_rest(self) -> bool:
        """Whether the turn could end here, as nothing has been begun that another turn would do again."""
        return True

    def is_late(self) -> bool:
        """Whether the turn has to end."""
        return closing.is_set() or time.monotonic() >= self.ends_at

    def settle(self) -> None:  # noqa: B027 - not all kinds have something to wait for
        """Wait until all that `step` has begun is stored."""

    def take(self) -> None:
        """Work until the run has ended, must wait, or others may wait for their turn."""
        if self.progress.claims > limits.MAX_CLAIMS:
            self.give_up()
            return
        try:
            while not self._is_over():
                self.step()
        except ConfigurationChanged:
            self.leave(0)
        except SourceFailed as failure:
            self.fail(failure)

    def _is_over(self) -> bool:
        must_rest = self.is_late() and self.may_rest()
        if must_rest or self.progress.stop_requested or self.checkpoint.at is None:
            self.settle()
        if self.progress.stop_requested:
            runs.stop(self.progress)
            return True
        if self.checkpoint.at is None:
            again = self.finish()
            if again is None:
                return True
            self.checkpoint = again
        if must_rest:
            self.leave(0)
            return True
        return False

    def shaped(self, document: Any, steps: Steps) -> shaping.Shape:
        """The records of a page; under the policy `freeze` all of them have the form that is known."""
        bound_to = schemas.binding(self.stream, self.progress, self.run, self.source)
        page = shaping.shape(self.source, document, steps, bound_to)
        if page.strangers and self.stream.schema_policy == SchemaPolicy.FREEZE:
            schemas.refuse(self.stream, self.progress, page.strangers)
            names = ", ".join(sorted(page.strangers))[:300]
            detail = f"schema_policy is freeze, and these fields are new or of a new type: {names}"
            raise SourceFailed("schema_changed", detail)
        return page

    def leave(self, seconds: float, **outcome: Any) -> None:
        """Give up the lease; the run goes on when `seconds` have passed, or at once to be stopped."""
        later = Now() + timedelta(seconds=seconds)
        due_at = Case(When(stop_requested=True, then=Now()), default=later)
        settle(Progress, self.progress.pk, self._lease(), due_at=due_at, **outcome)

    def _lease(self) -> UUID:
        if self.progress.lease_id is None:
            raise runs.LeaseLost
        return self.progress.lease_id


def worker_failed() -> SourceFailed:
    """Why a run is given up that nobody survives."""
    return SourceFailed("worker_failed", "Workers kept failing while they read this stream.")


def source_of(stream: Stream) -> Source:
    """The stream's configuration, ready to be used."""
    primary_key = stream.primary_key or []
    return Source(
        url=stream.url,
        records_path=stream.records_path,
        primary_key=(primary_key,) if isinstance(primary_key, str) else tuple(primary_key),
        cursor=stream.cursor,
        pagination=stream.pagination,
        auth=stream.auth,
        headers=stream.headers,
        params=stream.params,
        secrets=orjson.loads(stream.secrets or "{}"),
        mapping=stream.mapping,
        schema_policy=stream.schema_policy,
    )
