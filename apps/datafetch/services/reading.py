"""Reading a stream: its pages, one after the other."""

import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from blake3 import blake3
from django.db.models import F
from django.db.models.functions import Now

from apps.common.outgoing.pooled import Answer
from apps.datafetch import limits
from apps.datafetch.enums import SchemaPolicy, Trigger
from apps.datafetch.models import Progress, Run, Stream
from apps.datafetch.services import budgets, finishing, pages, runs, storing
from apps.datafetch.services.ahead import Coming, conditions
from apps.datafetch.services.checkpoints import Checkpoint
from apps.datafetch.services.intake import columns
from apps.datafetch.services.schedule import retry_delay
from apps.datafetch.services.storing import Fetched, HandedOver, Known
from apps.datafetch.services.turns import Turn, worker_failed
from apps.datafetch.sources import asking, pagination
from apps.datafetch.sources.cursors import greater
from apps.datafetch.sources.expressions import ExpressionFailed, Steps
from apps.datafetch.sources.failures import SourceFailed
from apps.datafetch.sources.pagination import Position
from apps.datafetch.sources.source import Asked


class NotYet(Exception):
    """The host's budget does not allow a request for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Reading(Turn):
    """A turn with the remote API."""

    def __init__(self, stream: Stream, progress: Progress, run: Run) -> None:
        super().__init__(stream, progress, run)
        self._has_looked = False
        self._handed: HandedOver | None = None
        self._ahead: tuple[Asked, Known | None] | None = None
        self._unconfirmed: list[Fetched] = []
        self._window: dict[bytes, Known] = {}
        self._stored_at = 0.0
        self._coming: Coming | None = None
        self._request = f"GET {self.source.redacted(stream.url)}"
        self._hidden = self.source.hidden

    def take(self) -> None:
        try:
            super().take()
        except NotYet as wait:
            self.leave(wait.seconds)
        finally:
            self._drop_coming()

    def finish(self) -> Checkpoint | None:
        return finishing.finish(self.stream, self.progress, self.run, self.checkpoint)

    def give_up(self) -> None:
        failure = worker_failed()
        runs.fail(self.progress, failure.told(()), cause=failure.cause)

    def step(self) -> None:
        """Fetch the next page, while PostgreSQL stores the one before, and store it with the checkpoint after it."""
        before = self.checkpoint
        try:
            fetched = self._fetch(before)
        except BaseException:
            self.settle()
            raise
        after = Checkpoint(
            at=fetched.after,
            page=before.page + 1,
            reading=before.reading,
            is_second_look=before.is_second_look,
            since=before.since,
            greatest=greater(before.greatest, fetched.greatest),
            digest=fetched.digest.hex(),
        )
        if self._may_wait(fetched):
            self._await()
        else:
            self._store(fetched, after)
        self.checkpoint = after

    def may_rest(self) -> bool:
        return self._coming is None

    def settle(self) -> None:
        self._await()
        if self._unconfirmed:
            storing.store(*self._what(), self._with_unconfirmed(), self.checkpoint, self.held)
        if self._coming is not None:
            self._drop_coming()
            runs.count_request(self.run.id)

    def _drop_coming(self) -> None:
        if self._coming is not None:
            self._coming.drop()
            self._coming = None

    def _await(self) -> None:
        """Wait until a page is stored that was handed over."""
        if self._handed is not None:
            handed, self._handed = self._handed, None
            storing.settle(self.progress, handed)

    def _store(self, fetched: Fetched, after: Checkpoint) -> None:
        """Store a page, and the unchanged ones before it. It is handed over and not waited for when all is known that is
        needed to ask for the page at `after`, as nothing has to be read from PostgreSQL then until that one has come."""
        self._unconfirmed.append(fetched)
        page = self._with_unconfirmed()
        not_there_yet = {one.asked.digest for one in (*page.unconfirmed, page)}
        asked = self._asked_ahead(after.at, after.since)
        if asked is not None and asked.digest in not_there_yet:
            asked = None
        known = self._window.pop(asked.digest, None) if asked is not None else None
        look = asked if known is None else None
        self._ahead, before, self._handed = None, self._handed, None
        handed = storing.hand_over(*self._what(), page, after, self.held, before, look=look)
        if handed is None:
            self._handed = before
            self._await()
            storing.store(*self._what(), page, after, self.held)
            return
        self._handed, self._stored_at = handed, time.monotonic()
        if asked is None or not handed.goes_on:
            self._await()
            return
        self._ahead = asked, known or handed.known
        for at, one in handed.window.items():
            if at not in not_there_yet:
                self._window[at] = one

    def _with_unconfirmed(self) -> Fetched:
        """The last of the pages that are not stored yet, and those before it in it: none is unconfirmed any more."""
        *before, last = self._unconfirmed
        self._unconfirmed = []
        return replace(last, unconfirmed=tuple(before))

    def _what(self) -> tuple[Stream, Progress, Run]:
        return self.stream, self.progress, self.run

    def _may_wait(self, fetched: Fetched) -> bool:
        """Whether an unchanged page can be confirmed together with the next ones (docs/adr/0041): the one after it
        has been asked for, and those that wait are few."""
        is_full = len(self._unconfirmed) + 1 >= limits.CONFIRM_PAGES
        if fetched.unchanged is None or self._coming is None or is_full:
            return False
        asked = self._coming.asked
        self._ahead = asked, self._window.pop(asked.digest)
        self._unconfirmed.append(fetched)
        return True

    def _foreseen(self, before: Checkpoint, known: Known | None) -> tuple[Asked, Known] | None:
        """The request for the page after one that was known, and what is known of it: most likely the page is as it was,
        and then nothing has to be stored between them."""
        if known is None or not self._window:
            return None
        asked = self._asked_ahead(pages.position_after(known), before.since)
        following = self._window.get(asked.digest) if asked is not None else None
        if asked is None or following is None or not self._is_as_read(following):
            return None
        return asked, following

    def _ask_ahead(self, asked: Asked, known: Known) -> None:
        """Ask for that page before the one that has come is looked at, if those that wait to be confirmed came within a
        moment."""
        is_soon = time.monotonic() < self._stored_at + limits.CONFIRM_SECONDS
        if is_soon and not self.is_late():
            with suppress(SourceFailed):  # as will be told when it is asked for in its turn
                self._coming = Coming.of(asked, known)

    def _asked_ahead(self, at: Position | None, since: Any) -> Asked | None:
        """The request for the page at `at`; None when it cannot be told before the one before it is stored."""
        if at is None or self._reads_between_pages:
            return None
        try:
            return self.source.asked(at, since, None)
        except SourceFailed:
            return None  # as will be told when it is asked for

    @property
    def _reads_between_pages(self) -> bool:
        """Whether PostgreSQL is asked while a page is fetched and shaped: for its token, budget or schema."""
        has_budget = self.stream.rate_limit is not None
        return has_budget or self._has_token or self.stream.schema_policy != SchemaPolicy.EVOLVE

    def _next_request(self, before: Checkpoint) -> tuple[Asked, Known | None]:
        """The request for the page at the checkpoint, and what is known of it."""
        if self._ahead is not None:
            return self._ahead
        asked = self.source.asked(before.at or {}, before.since, self._token())
        return asked, storing.known(self.stream, self.progress, asked.digest)

    def _fetch(self, before: Checkpoint) -> Fetched:
        if before.page >= limits.MAX_PAGES:
            raise SourceFailed("too_many_pages", f"A run reads {limits.MAX_PAGES:,} pages at most.")
        asked, known = self._next_request(before)
        self._request, self._hidden = f"GET {asked.shown}", self.source.hidden_of(asked)
        if known and known.run_id == self.run.id and known.reading == before.reading:
            detail = f"Page {before.page + 1} is page {known.number} again: {known.url}"
            raise SourceFailed("pagination_loop", detail)
        if known and not self._is_as_read(known):
            known = None
        foreseen = self._foreseen(before, known)  # while the server is at work
        answer, requests = self._ask(asked, before, known)
        if foreseen is not None:
            self._ask_ahead(*foreseen)
        if answer.status == 304 and known is not None:
            return pages.unchanged(asked, known, requests, answer.received)
        digest = blake3(answer.body).digest(16)
        if (
            known
            and bytes(known.digest) == digest
            and self.stream.pagination["type"] != "link_header"
        ):
            return pages.unchanged(asked, known, requests, answer.received)
        return self._understood(asked, before, answer, digest, requests)

    def _understood(
        self, asked: Asked, before: Checkpoint, answer: Answer, digest: bytes, requests: int
    ) -> Fetched:
        steps, packed = Steps(), pages.packed(answer)
        document = asking.document_of(answer)
        page = self.shaped(document, steps)
        if page.count and digest.hex() == before.digest:
            detail = f"Page {before.page + 1} has the same body as the one before it."
            raise SourceFailed("pagination_loop", detail)
        try:
            after = pagination.next_position(
                self.stream.pagination,
                before.at or {},
                url=answer.url,
                links=answer.headers.get_all("link", []),
                document=document,
                count=page.count,
                steps=steps,
            )
        except ExpressionFailed as error:
            raise SourceFailed("pagination_invalid", str(error)) from error
        return Fetched(
            asked=asked,
            after=after,
            greatest=page.greatest,
            count=page.count,
            requests=requests,
            received=answer.received,
            etag=pages.validator(answer.headers.get("etag")),
            last_modified=pages.validator(answer.headers.get("last-modified")),
            shape=self.source.shape,
            digest=digest,
            body_bytes=len(answer.body),
            packed=packed,
            records=columns(page.records),
            refused=tuple(page.refused),
            rejected=page.refusals.total(),
            form=page.form,
            form_shape=self.source.form,
            strangers=page.strangers,
        )

    def _ask(self, asked: Asked, before: Checkpoint, known: Known | None) -> tuple[Answer, int]:
        """The answer and how many requests it took: a token that is refused is fetched anew, once; what was asked
        ahead may have been in vain."""
        coming, given = self._coming, conditions(known)
        if coming is not None and coming.is_for(asked, known):
            self._coming = None
            return coming.answer(), 1
        self._wait_for_host()
        try:
            answer = asking.Request(asked, **given).answer()
        except SourceFailed as failure:
            if failure.status != 401 or not self._has_token:
                raise
        else:
            self._drop_coming()
            return answer, 1 if coming is None else 2
        self._wait_for_host()
        renewed = self.source.asked(before.at or {}, before.since, self._token(is_refused=True))
        self._request, self._hidden = f"GET {renewed.shown}", self.source.hidden_of(renewed)
        return asking.Request(renewed, **given).answer(), 2

    def _is_as_read(self, known: Known) -> bool:
        """Whether a page's records are read now as they were then."""
        return bytes(known.shape) == self.source.shape

    @property
    def _has_token(self) -> bool:
        return bool(self.source.auth["type"] == "oauth2_client_credentials")

    def _token(self, *, is_refused: bool = False) -> str | None:
        """The access token, from this stream's cache while it is good; None when none is needed."""
        if not self._has_token:
            return None
        mine = Progress.objects.filter(pk=self.progress.pk)
        if not is_refused:
            cached = mine.filter(token_expires_at__gt=Now()).values_list("token", flat=True).first()
            if cached:
                return cached
        self._request = f"POST {self.source.redacted(self.source.auth['token_url'])}"
        token = asking.new_token(self.source)
        life = timedelta(seconds=_FOREVER if token.seconds is None else token.seconds)
        mine.filter(lease_id=self.progress.lease_id).update(
            token=token.value, token_expires_at=Now() + life
        )
        return token.value

    def _wait_for_host(self) -> None:
        """Keep the host's budget. Without a rate limit it is looked at once a turn, for what others of
        the account's streams were told."""
        if self.stream.rate_limit is None and self._has_looked:
            return
        self._has_looked = True
        seconds = budgets.reserve(self.stream.account_id, self.source.host, self.stream.rate_limit)
        if seconds > limits.MAX_SLEEP:
            raise NotYet(seconds)
        time.sleep(seconds)

    def fail(self, failure: SourceFailed) -> None:
        """Try the page again when the failure may pass, at a due time; else the run has failed."""
        runs.count_request(self.run.id)
        told = failure.told(self._hidden) | {
            "page": self.checkpoint.page + 1,
            "request": self._request.replace("\0", "\ufffd"),
        }
        attempt = self.progress.attempt + 1
        if not failure.is_passing or attempt >= limits.MAX_ATTEMPTS or self._is_probe():
            runs.fail(self.progress, told, cause=failure.cause)
            return
        delay = retry_delay(attempt)
        if failure.retry_after is not None:
            delay = max(delay, failure.retry_after)
            budgets.hold(self.stream.account_id, self.source.host, failure.retry_after)
        Run.objects.filter(pk=self.run.pk).update(error=told | {"attempt": attempt})
        self.leave(delay, attempt=F("attempt") + 1)

    def _is_probe(self) -> bool:
        """Whether it only looks, with one request, if a paused stream works again."""
        is_scheduled = self.run.trigger == Trigger.SCHEDULE
        return is_scheduled and self.progress.paused_at is not None and self.checkpoint.page == 0


_FOREVER = 10**9
