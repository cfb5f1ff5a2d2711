"""Asking a remote API: what its answers mean, and tokens of OAuth 2 (RFC 6749, section 4.4)."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import quote_plus, urlencode

import orjson

from apps.common.outgoing import bounds, guard
from apps.common.outgoing.bounds import Limits
from apps.common.outgoing.pooled import Answer, Sent, send
from apps.datafetch.limits import MAX_BODY_BYTES, MAX_RETRY_AFTER, PAGE_SECONDS
from apps.datafetch.sources.failures import SourceFailed
from apps.datafetch.sources.source import ACCEPT, USER_AGENT, Asked, Source

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529})
PAGE_LIMITS = Limits(total_seconds=PAGE_SECONDS, max_bytes=MAX_BODY_BYTES)
TOKEN_LIMITS = Limits(total_seconds=10.0, max_bytes=262_144)
# A token is not used in the last seconds of its life, which may end while a request is under way.
TOKEN_MARGIN = 30
MAX_TOKEN_SECONDS = 10**7
_HEADERS = {"user-agent": USER_AGENT, "accept": ACCEPT}


class Token(NamedTuple):
    """An access token and for how many seconds it may be used; None when the server does not say."""

    value: str
    seconds: int | None


class Request:
    """A request for a page that has left, to be ended by `answer` or `drop`; raises SourceFailed when it cannot leave.

    `etag` and `last_modified` are those of the answer that is known."""

    def __init__(self, asked: Asked, *, etag: str = "", last_modified: str = "") -> None:
        conditions = {"if-none-match": etag, "if-modified-since": last_modified}
        given = {name: value for name, value in conditions.items() if value}
        self._is_conditional = bool(given)
        with _understood():
            self._sent = Sent("GET", asked.url, _HEADERS | given, asked.private, None, PAGE_LIMITS)

    def answer(self) -> Answer:
        """The 2xx or 304 answer; raises SourceFailed for anything else."""
        with _understood():
            answer = self._sent.answer()
        if answer.status != 304 or not self._is_conditional:
            require_success(answer)
        return answer

    def drop(self) -> None:
        """Wait for no answer."""
        self._sent.drop()


def whatever(asked: Asked, *, limits: Limits) -> Answer:
    """The answer to a request, of any status; raises SourceFailed when there is none."""
    with _understood():
        return send("GET", asked.url, headers=_HEADERS, private=asked.private, limits=limits)


def require_success(answer: Answer) -> None:
    """Raise SourceFailed unless the status is 2xx."""
    if not 200 <= answer.status < 300:
        raise _refusal(answer)


def new_token(source: Source, limits: Limits = TOKEN_LIMITS) -> Token:
    """A token for client credentials, sent in the body first, then as HTTP Basic."""
    auth, secret = source.auth, source.secrets["auth"]["client_secret"]
    form = {"grant_type": "client_credentials"}
    if auth.get("scope"):
        form["scope"] = auth["scope"]
    with_secret = {**form, "client_id": auth["client_id"], "client_secret": secret}
    answer = _token_answer(auth["token_url"], with_secret, {}, limits)
    if answer.status in (400, 401):
        pair = f"{quote_plus(auth['client_id'])}:{quote_plus(secret)}"
        basic = {"authorization": f"Basic {b64encode(pair.encode()).decode()}"}
        answer = _token_answer(auth["token_url"], form, basic, limits)
    if answer.status in PASSING:
        raise _refusal(answer)
    if answer.status != 200:
        detail = f"The token server answers {answer.status}{_reason(answer)}."
        raise SourceFailed("token_refused", detail, status=answer.status)
    return _token(answer)


def document_of(answer: Answer) -> Any:
    """The body as JSON; raises SourceFailed when it is something else."""
    try:
        return orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        kind = answer.headers.get("content-type", "no content type")[:100]
        detail = f"The body is not JSON ({kind}): {error}"
        raise SourceFailed("not_json", detail, status=answer.status) from error


def retry_after(answer: Answer) -> float | None:
    """Seconds that a server asks us to wait (RFC 9110, section 10.2.3), in either form.

    A date is compared with the server's own `Date`, so that a clock that is wrong, theirs or ours, does
    not matter.
    """
    said = answer.headers.get("retry-after", "").strip()
    if not said:
        return None
    if said.isascii() and said.isdigit():
        return min(float(said[:9]), MAX_RETRY_AFTER)
    until = _moment(said)
    if until is None:
        return None
    now = _moment(answer.headers.get("date", "")) or datetime.now(UTC)
    return min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER)


@contextmanager
def _understood() -> Iterator[None]:
    """What the client raises, as what it means for a stream."""
    try:
        yield
    except guard.AddressRefused as error:
        raise SourceFailed("address_not_allowed", str(error)) from error
    except guard.UrlInvalid as error:
        raise SourceFailed("redirect_invalid", f"A redirect leads nowhere: {error}") from error
    except (bounds.TooLarge, bounds.TooManyRedirects, bounds.EncodingUnknown) as error:
        raise SourceFailed(error.code, str(error)) from error
    except bounds.SendFailed as error:
        raise SourceFailed(error.code, str(error), is_passing=True) from error


def _refusal(answer: Answer) -> SourceFailed:
    status = answer.status
    code = {401: "unauthorized", 403: "forbidden", 429: "rate_limited"}.get(status, "http_error")
    return SourceFailed(
        code,
        f"The server answers {status}{_reason(answer)}.",
        is_passing=status in PASSING,
        retry_after=retry_after(answer) if status in PASSING else None,
        status=status,
    )


def _reason(answer: Answer) -> str:
    """How an answer in words begins; a page of HTML explains nothing. It is cut where it is told, when
    secrets are out of it: half a secret would not be found."""
    text = answer.body[:20_000].decode(errors="replace").strip()
    return f": {text}" if text and not text.startswith("<") else ""


def _token_answer(
    url: str, form: Mapping[str, str], headers: Mapping[str, str], limits: Limits
) -> Answer:
    sent = {
        "user-agent": USER_AGENT,
        "accept": "application/json",
        "content-type": "application/x-www-form-urlencoded",
    }
    body = urlencode(form).encode()
    with _understood():
        return send("POST", url, headers=sent, private=headers, body=body, limits=limits)


def _token(answer: Answer) -> Token:
    document = document_of(answer)
    value = document.get("access_token") if isinstance(document, dict) else None
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or not value:
        raise SourceFailed("token_refused", "The token server's answer has no access_token.")
    try:
        seconds = int(document["expires_in"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return Token(value, None)
    return Token(value, min(max(seconds - TOKEN_MARGIN, 1), MAX_TOKEN_SECONDS))


def _moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
