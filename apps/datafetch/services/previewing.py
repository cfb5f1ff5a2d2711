"""A look at a stream's first page as it would be stored. Nothing of it is."""

import math
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from apps.common.outgoing import guard
from apps.common.outgoing.bounds import Limits, TooLarge
from apps.common.outgoing.connections import origin
from apps.common.outgoing.pooled import Answer
from apps.common.places import NoPlaceLeftError, Places
from apps.datafetch import limits
from apps.datafetch.enums import Change, SchemaPolicy
from apps.datafetch.errors import PreviewTooSoon, TooManyPreviews
from apps.datafetch.models import Record, Stream
from apps.datafetch.selectors import newest_schema
from apps.datafetch.services import budgets
from apps.datafetch.services.turns import source_of
from apps.datafetch.sources import asking, forms, hints, pagination, shaping
from apps.datafetch.sources.expressions import ExpressionFailed, Steps
from apps.datafetch.sources.failures import SourceFailed, masked, redacted
from apps.datafetch.sources.forms import Form
from apps.datafetch.sources.pagination import Position
from apps.datafetch.sources.shaping import Refused, Shape
from apps.datafetch.sources.source import Asked, Source

# In the place of a host: the row that spaces an account's previews, whatever they ask.
ALL_PREVIEWS = "previews"
MAX_SHOWN = 50
MAX_TEXT = 500
MAX_EXCERPT = 2000
_PAGE = Limits(
    total_seconds=limits.PREVIEW_SECONDS,
    connect_seconds=3.0,
    silence_seconds=limits.PREVIEW_SECONDS,
    max_bytes=limits.PREVIEW_BYTES,
)
_TOKEN = Limits(total_seconds=limits.PREVIEW_TOKEN_SECONDS, max_bytes=262_144)
_TELLING_HEADERS = (
    *("content-type", "content-encoding", "date", "etag", "last-modified", "cache-control"),
    *("link", "retry-after", "ratelimit", "ratelimit-policy", "x-total-count"),
    *("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
)

_places = Places(limits.PREVIEWERS, limits.PREVIEWERS_OF_ACCOUNT)


class Sample(NamedTuple):
    """A record as it would be stored; `change` is null where the stream has it like this already."""

    key: str
    cursor: Any
    change: str | None
    data: str


class Warned(NamedTuple):
    """What a run would not fail of, and its owner may not have meant."""

    code: str
    detail: str


@dataclass(slots=True)
class Preview:
    """What came of it, as far as it came: `error` is what a run would fail of, or try again after."""

    request: dict[str, Any] = field(default_factory=dict)
    response: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    found: int | None = None
    samples: list[Sample] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    refused_count: int = 0
    greatest: Any = None
    form: Form = field(default_factory=dict)
    strange: Form | None = None
    following: dict[str, Any] | None = None
    warnings: list[Warned] = field(default_factory=list)


def preview(stream: Stream, *, most: int) -> Preview:
    """Fetch the first page of `stream`, made or drafted, and shape up to `most` records of it.

    Asks the network for some seconds, so it is called outside any transaction. What goes wrong at the
    other side is told in the answer; raises PreviewTooSoon and TooManyPreviews.
    """
    try:
        with _places.taken(stream.account_id):
            source = source_of(stream)
            _reserve(stream, source)
            return _Look(stream, source, most).taken()
    except NoPlaceLeftError as error:
        raise TooManyPreviews("Wait until another preview has ended.", retry_after=5) from error


def _reserve(stream: Stream, source: Source) -> None:
    """Take the account's turn, which nobody waits for, and the host's, if it is a short wait."""
    account_id = stream.account_id
    # The second look is for those who come at the same moment: one of them has it, the others wait.
    wait = budgets.reserve(account_id, ALL_PREVIEWS, None) or budgets.reserve(
        account_id, ALL_PREVIEWS, limits.PREVIEWS_A_SECOND
    )
    if wait > 0:
        raise _too_soon("One preview in two seconds, please.", wait)
    wait = budgets.reserve(account_id, source.host, stream.rate_limit)
    if wait > limits.MAX_SLEEP:
        detail = f"{source.host} is not to be asked before: by rate_limit, or because it said so."
        raise _too_soon(detail, wait)
    time.sleep(wait)


def _too_soon(detail: str, seconds: float) -> PreviewTooSoon:
    wait = math.ceil(seconds)
    return PreviewTooSoon(f"{detail} Go on in {wait} s.", retry_after=wait)


class _Look:
    """One request and what can be said of its answer."""

    def __init__(self, stream: Stream, source: Source, most: int) -> None:
        self.stream = stream
        self.source = source
        self.most = most
        self.steps = Steps(limits.PREVIEW_STEPS, limits.PREVIEW_WORK_SECONDS)
        self.seen = Preview()
        self.hidden = _spellings(source.hidden)

    def taken(self) -> Preview:
        try:
            self._look()
        except SourceFailed as failure:
            self.seen.error = failure.told(self.hidden)
        return self.seen

    def _look(self) -> None:
        asked = self._asked()
        answer = self._answer(asked)
        asking.require_success(answer)
        try:
            document = asking.document_of(answer)
        except SourceFailed:
            self._excerpt(answer)
            raise
        self._warn_of_answer(answer)
        try:
            found = shaping.records_of(self.source, document, self.steps)
        except SourceFailed as failure:
            failure.detail += hints.where_lists_are(document)
            raise
        self._shape(found[: limits.PREVIEW_RECORDS])
        self.seen.found = len(found)
        if len(found) > limits.PREVIEW_RECORDS:
            detail = f"Of its {len(found):,} records the first {limits.PREVIEW_RECORDS:,} were looked at."
            self._warn("not_all_looked_at", detail)
        self._follow(answer, document, len(found))

    def _asked(self) -> Asked:
        since = (self.stream.cursor or {}).get("initial")
        token = None
        if self.source.auth["type"] == "oauth2_client_credentials":
            url = self.source.redacted(self.source.auth["token_url"])
            self.seen.request = {"method": "POST", "url": url, "headers": {}}
            token = asking.new_token(self.source, _TOKEN).value
        asked = self.source.asked({}, since, token)
        url, headers = self.source.shown(asked)
        self.seen.request = {"method": "GET", "url": url, "headers": headers}
        self.hidden = _spellings(self.source.hidden_of(asked))
        return asked

    def _answer(self, asked: Asked) -> Answer:
        started = time.monotonic()
        try:
            answer = asking.whatever(asked, limits=_PAGE)
        except SourceFailed as failure:
            if failure.code == TooLarge.code:
                failure.detail += f" A run takes {limits.MAX_BODY_BYTES:,}, a preview less."
            raise
        self.seen.response = {
            "status": answer.status,
            "url": redacted(answer.url, self.hidden),
            "headers": self._telling(answer),
            "bytes": answer.received,
            "body_bytes": len(answer.body),
            "milliseconds": round((time.monotonic() - started) * 1000),
            "excerpt": None,
        }
        if not 200 <= answer.status < 300:
            self._excerpt(answer)
        return answer

    def _telling(self, answer: Answer) -> dict[str, str]:
        there = {name: answer.headers.get(name) for name in _TELLING_HEADERS}
        return {
            name: redacted(value, self.hidden)[:MAX_TEXT] for name, value in there.items() if value
        }

    def _excerpt(self, answer: Answer) -> None:
        if self.seen.response is not None:
            text = answer.body[: 4 * MAX_EXCERPT].decode(errors="replace")
            self.seen.response["excerpt"] = redacted(text, self.hidden)[:MAX_EXCERPT]

    def _shape(self, found: list[Any]) -> None:
        version = newest_schema(self.stream)
        known = forms.of_schema(version.schema) if version else None
        binds = version is not None and bytes(version.shape) == self.source.form
        is_bound = binds and self.stream.schema_policy != SchemaPolicy.EVOLVE
        bound_to = known if is_bound else None
        page = shaping.shape_records(self.source, found, self.steps, bound_to)
        self.seen.form, self.seen.greatest = page.form, self._masked(page.greatest)
        self.seen.refused_count = page.refusals.total()
        self.seen.refused = [
            Refused(
                one.code,
                self._masked(one.detail),
                self._masked(one.data.decode(errors="replace")).encode(),
            )
            for one in page.refused[: self.most]
        ]
        self.seen.samples = self._samples(found, bound_to)
        if known is not None:
            wider = forms.merged(forms.merged(known, page.form), page.strangers)
            self.seen.strange = {
                name: kinds for name, kinds in wider.items() if known.get(name) != kinds
            }
        if page.strangers and self.stream.schema_policy == SchemaPolicy.FREEZE:
            names = ", ".join(sorted(page.strangers))[:300]
            detail = f"schema_policy is freeze, and these fields are new or of a new type: {names}"
            self.seen.error = SourceFailed("schema_changed", detail).told(self.hidden)
        self._warn_of_records(page, found)

    def _samples(self, found: list[Any], bound_to: Form | None) -> list[Sample]:
        """The first records that could be stored, each by itself."""
        shown: list[tuple[str, bytes, bytes, Any]] = []
        left = limits.PREVIEW_SHOWN_BYTES
        for raw in found:
            single = shaping.shape_records(self.source, [raw], self.steps, bound_to)
            left -= sum(len(data) for _, _, data in single.records)
            if len(shown) == self.most or (left < 0 and shown):
                break
            shown += [(*record, single.greatest) for record in single.records]
        present = self._present([key for key, *_ in shown])
        return [self._sample(*one, present) for one in shown]

    def _sample(
        self, key: str, digest: bytes, dumped: bytes, cursor: Any, present: dict[str, bytes]
    ) -> Sample:
        change = Change.CHANGED if key in present else Change.NEW
        data = _masked_json(dumped.decode(), self.hidden)
        shown = None if present.get(key) == digest else change.value
        return Sample(self._masked(key), self._masked(cursor), shown, data)

    def _masked(self, value: Any) -> Any:
        return masked(value, self.hidden) if isinstance(value, str) else value

    def _present(self, keys: list[str]) -> dict[str, bytes]:
        """The hashes of what the stream has under these keys at present."""
        rows = Record.objects.filter(stream_id=self.stream.id, superseded_at=None, key__in=keys)
        return {key: bytes(digest) for key, digest in rows.values_list("key", "hash")}

    def _warn(self, code: str, detail: str) -> None:
        self.seen.warnings.append(Warned(code, redacted(detail, self.hidden)))

    def _warn_of_answer(self, answer: Answer) -> None:
        kind = redacted(answer.headers.get("content-type", ""), self.hidden)
        if "json" not in kind.lower():
            self._warn(
                "content_type", f"It is JSON, but says that it is {kind[:100] or 'nothing'!r}."
            )
        if origin(guard.parse(answer.url)) != self.source.origin:
            detail = "A redirect leads to another origin, which gets no credentials. Use its URL."
            self._warn("redirected_elsewhere", detail)

    def _warn_of_records(self, page: Shape, found: list[Any]) -> None:
        if not found:
            self._warn("no_records", "There is no record at records_path on this page.")
        if not self.source.keys:
            detail = (
                "Without primary_key a record that changes is a new one, and the old one deleted."
            )
            self._warn("no_primary_key", detail)
        keyless = page.refusals["no_key"]
        if keyless:
            self._warn("keys_missing", f"{keyless} of {page.count} records have no primary_key.")
        doubled = page.count - page.refusals.total() - len(page.records)
        if doubled:
            detail = f"{doubled} records have the key of another; the last of each counts."
            self._warn("keys_doubled", detail)
        cursorless = hints.without_cursor(self.source, found, self.steps)
        if cursorless:
            detail = f"{cursorless} of {page.count} records have nothing at cursor.field."
            self._warn("cursor_missing", detail)

    def _follow(self, answer: Answer, document: Any, count: int) -> None:
        """Where the next page would be."""
        try:
            after = pagination.next_position(
                self.stream.pagination,
                {},
                url=answer.url,
                links=answer.headers.get_all("link", []),
                document=document,
                count=count,
                steps=self.steps,
            )
        except ExpressionFailed as error:
            raise SourceFailed("pagination_invalid", str(error)) from error
        if after is None:
            short = hints.short_page(self.stream.pagination, count)
            if short:
                self._warn("short_page", short)
            return
        self._tell_of_next(after)

    def _tell_of_next(self, after: Position) -> None:
        since = (self.stream.cursor or {}).get("initial")
        target = guard.parse(self.source.asked(after, since, None).bare)
        is_elsewhere = origin(target) != self.source.origin
        url = redacted(target.url, self.hidden)
        self.seen.following = {"url": url, "is_other_origin": is_elsewhere}
        if is_elsewhere:
            detail = "The next page is at another origin, which gets no credentials."
            self._warn("next_page_elsewhere", detail)
        try:
            guard.vet(target)
        except guard.AddressRefused as error:
            raise SourceFailed("address_not_allowed", f"The next page: {error}") from error


def _masked_json(text: str, secrets: Iterable[str]) -> str:
    """JSON without secrets, and JSON still: a number that is one becomes a text."""
    secrets = tuple(secrets)
    if masked(text, secrets) == text:
        return text

    def shown(found: re.Match[str]) -> str:
        value = orjson.loads(found[0]) if found[0][0] == '"' else found[0]
        hidden = masked(value, secrets)
        return found[0] if hidden == value else orjson.dumps(hidden).decode()

    return _SCALAR.sub(shown, text)


# The strings, numbers and words of JSON without spaces between them.
_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|[^",:\[\]{}]+')


def _spellings(secrets: Iterable[str]) -> tuple[str, ...]:
    """Secrets as they are and as they stand in JSON."""
    return tuple(
        spelling for one in secrets for spelling in (one, orjson.dumps(one)[1:-1].decode())
    )
