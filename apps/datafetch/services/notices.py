"""What the account is told of its streams' health: an event, and an e-mail where it has an address."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Now

from apps.common import clock, mail
from apps.common.actor import Actor
from apps.datafetch import selectors
from apps.datafetch.enums import SchemaPolicy
from apps.datafetch.events import FAILING, PAUSED, RECOVERED, failure_object, status_object
from apps.datafetch.limits import PROBE_RARELY_AFTER, WRITTEN_AGAIN_SECONDS
from apps.datafetch.models import Page, Progress, Run, Stream
from apps.datafetch.services.health import Verdict, was_written_about
from apps.events.publishing import draft, publish, publish_all

_MAX_NAMES = 20


def tell_of_failure(stream_id: UUID, verdict: Verdict, cause: str, *, actor: Actor) -> None:
    """Tell that a stream is failing, of something new, or paused; what has been told is not told again."""
    kinds = [*([FAILING] if verdict.has_news else []), *([PAUSED] if verdict.is_paused_now else [])]
    if not kinds:
        return
    stream = _stream(stream_id)
    last_page = selectors.last_page(stream)
    publish_all(
        [
            draft(
                kind,
                account_id=stream.account_id,
                subject=stream.id,
                object=failure_object(stream, cause, last_page),
                actor=actor,
                at=clock.now(),
            )
            for kind in kinds
        ]
    )
    if verdict.is_written:
        _write_of_failure(stream, cause, last_page, is_paused=verdict.is_paused_now)


def tell_of_recovery(before: Progress, *, actor: Actor) -> None:
    """Tell that a stream which was failing, as `before` says, is well again."""
    stream = _stream(before.pk)
    publish(
        draft(
            RECOVERED,
            account_id=stream.account_id,
            subject=stream.id,
            object=status_object(stream),
            actor=actor,
            at=clock.now(),
        )
    )
    run = stream.progress.last_run
    if was_written_about(before) and run is not None:
        text = _RECOVERED.format(
            name=stream.name,
            since=_shown(before.failing_since),
            failures=before.failures,
            run=_path(stream, run),
            pages=run.pages,
            new=run.records_new,
            changed=run.records_changed,
        )
        _write(stream, "works again", text)


def tell_of_drift(stream: Stream, change: Mapping[str, Sequence[str]]) -> None:
    """Write that records do not look like those before, once a day at most; the event tells each time."""
    again = Now() - timedelta(seconds=WRITTEN_AGAIN_SECONDS)
    is_due = Q(drift_warned_at=None) | Q(drift_warned_at__lt=again)
    if not Progress.objects.filter(is_due, pk=stream.pk).update(drift_warned_at=Now()):
        return
    text = _DRIFT.format(
        name=stream.name,
        added=_names(change["added"]),
        widened=_names(change["widened"]),
        policy=stream.schema_policy,
        what=_WHAT_DRIFT_DOES[SchemaPolicy(stream.schema_policy)],
        id=stream.pk,
    )
    _write(stream, "has records of a new form", text)


def _write_of_failure(
    stream: Stream, cause: str, last_page: Page | None, *, is_paused: bool
) -> None:
    progress, run = stream.progress, stream.progress.last_run
    error = (run.error if run else None) or {}
    text = _FAILURE.format(
        name=stream.name,
        failures=progress.failures,
        since=_shown(progress.failing_since),
        request=error.get("request", "none"),
        code=error.get("code", cause),
        detail=error.get("detail", ""),
        run=_path(stream, run) if run else "none",
        last_page=_page_shown(last_page),
        next=_NEXT.get(cause, _LOOK),
        schedule=_PAUSED if is_paused else _BY_SCHEDULE,
        id=stream.pk,
    )
    _write(stream, "is paused" if is_paused else "is failing", text)


def _page_shown(page: Page | None) -> str:
    if page is None:
        return "None is kept: no page could be read in the last 30 days."
    records = "1 record" if page.record_count == 1 else f"{page.record_count} records"
    shown = f"{_shown(page.visited_at)}: page {page.number}, {records}, GET {page.url}"
    if page.cursor_value is None:
        return shown
    return f"{shown}\nIts greatest cursor value: {page.cursor_value}"


def _write(stream: Stream, what: str, text: str) -> None:
    if stream.account.email:
        mail.owe(to=stream.account.email, subject=f"Your stream {stream.name} {what}", text=text)


def _stream(stream_id: UUID) -> Stream:
    return Stream.objects.select_related("account", "progress__last_run").get(pk=stream_id)


def _path(stream: Stream, run: Run) -> str:
    return f"/api/v1/streams/{stream.pk}/runs/{run.pk}"


def _shown(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "now"


def _names(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMES
    listed = ", ".join(names[:_MAX_NAMES]) or "none"
    return f"{listed} and {more} more" if more > 0 else listed


_FAILURE = """Runs of your stream {name} fail: {failures} in a row, the first at {since}.

Request:        {request}
Error:          {code}: {detail}
Run:            {run}
Last good page: {last_page}

{next}
{schedule} POST /api/v1/streams/{id}/run tries it now. Records that
were fetched stay and are served as before. You hear of this cause once, and when the stream works again.
"""
_BY_SCHEDULE = "It is tried again by its schedule."
_PAUSED = (
    "It is paused: one request looks once an hour whether it works again, after "
    f"{PROBE_RARELY_AFTER / 86_400:.0f} days once a day. The first run that succeeds puts it back on its schedule."
)
_RECOVERED = """A run of your stream {name} succeeded. It had been failing since {since} ({failures} runs in a row).

Run: {run}
Pages: {pages}; records new: {new}, changed: {changed}
"""
_DRIFT = """Records of your stream {name} do not look like those before.

New fields:          {added}
Values of new types: {widened}

Its schema_policy is {policy}: {what}
GET /api/v1/streams/{id}/schemas shows the versions of its schema. More changes today are told by the event
stream.schema_changed alone.
"""
_WHAT_DRIFT_DOES = {
    SchemaPolicy.EVOLVE: "the records are stored, and the schema has a new version. There is nothing to do.",
    SchemaPolicy.FREEZE: (
        "nothing of their page is stored, and runs fail until the records look as before or you change "
        "schema_policy or mapping with PATCH."
    ),
    SchemaPolicy.REJECT: (
        "these records are not stored. GET …/rejected shows them; change schema_policy or mapping with PATCH "
        "to take such records in."
    ),
}

_CREDENTIALS = (
    "What to do: the server refuses the credentials. Send others with PATCH and `auth` (or `headers`), or have "
    "the rights of these extended there."
)
_ANSWER = (
    "What to do: the answer is not what the stream expects. Compare it with records_path, pagination and mapping; "
    "POST /api/v1/streams/preview shows a first page as it would be stored."
)
_LOOK = "What to do: look at the request and the error above, and change the stream with PATCH."
_NEXT = {
    "unavailable": "What to do: nothing, if the server comes back by itself. Else ask whoever runs it.",
    "unauthorized": _CREDENTIALS,
    "forbidden": _CREDENTIALS,
    "token_refused": _CREDENTIALS,
    "rate_limited": "What to do: ask less often, with a lower rate_limit or a longer interval_seconds.",
    "not_json": _ANSWER,
    "records_not_found": _ANSWER,
    "pagination_invalid": _ANSWER,
    "pagination_loop": _ANSWER,
    "worker_failed": "What to do: nothing. Whoever runs this installation sees it too.",
}
