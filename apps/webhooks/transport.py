"""One signed request: what is sent, and what became of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ssl import SSLError
from uuid import UUID

import aiohttp
import structlog
from aiohttp.http import HttpProcessingError

from apps.common.outgoing import aio
from apps.common.outgoing.guard import AddressRefused
from apps.common.outgoing.timing import Phases, Timing
from apps.webhooks.control import NOTHING_ASKED, Control, control
from apps.webhooks.enums import Lane
from apps.webhooks.retries import retry_after
from apps.webhooks.signing import signature

MAX_HEADER_CHARACTERS = 8_000
HEADERS = {"content-type": "application/json", "user-agent": "Tradepost/1"}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Keyring:
    """An endpoint's signing keys, the present one first; each with the end of its validity (Unix time)."""

    keys: tuple[tuple[bytes, float], ...]

    def valid(self, at: float) -> list[bytes]:
        return [key for key, expires_at in self.keys if expires_at > at]


@dataclass(slots=True)  # frozen, one would take three times as long to make
class Parcel:
    """A delivery under a lease of this process, with all that sending it takes.

    `step` is how far it is on the retry schedule; `occurred_at` is the event's Unix time, `leased_at`
    is `time.monotonic()`, as is `send_at`, before which it must not be sent; `slot` says whose slot it
    takes; `is_set_aside` when it is parked instead of being tried for days, `is_watched` when its endpoint
    has a pace; `replay_id` is set when it is sent again because somebody asked for it.
    """

    delivery_id: UUID
    lease_id: UUID
    endpoint_id: UUID
    event_id: UUID
    step: int
    url: str
    keyring: Keyring
    body: bytes
    occurred_at: float
    leased_at: float
    send_at: float = 0.0
    slot: Lane = Lane.FIRST
    is_set_aside: bool = False
    is_watched: bool = False
    replay_id: UUID | None = None


@dataclass(slots=True)  # frozen, one would take three times as long to make
class Outcome:
    """What became of an attempt. `error` is a word for why there is no `status_code`.

    `started` is `time.monotonic()`, `hint` the Retry-After of a 429 or 503 in seconds.
    """

    parcel: Parcel
    started: float
    duration: float
    headers: dict[str, str]
    phases: Phases
    status_code: int | None = None
    answer_headers: dict[str, str] | None = None
    body: bytes = b""
    hint: float | None = None
    control: Control = NOTHING_ASKED
    error: str = ""

    @property
    def is_success(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300


async def post(client: aio.Client, parcel: Parcel) -> Outcome:
    """Sign with the present time and send; never raises, but for cancellation."""
    now = time.time()
    headers = {
        "webhook-id": str(parcel.event_id),
        "webhook-timestamp": str(int(now)),
        "webhook-signature": signature(
            parcel.keyring.valid(now), parcel.event_id, int(now), parcel.body
        ),
    }
    if parcel.replay_id is not None:
        headers["webhook-replay"] = str(parcel.replay_id)
    timing = Timing.begin()
    answer, word = None, ""
    try:
        answer = await client.post(parcel.url, headers, parcel.body)
    except Exception as error:
        word = error_word(error)
        if word == "failed":
            log.exception("webhook_attempt_failed", delivery_id=str(parcel.delivery_id))
    duration = time.monotonic() - timing.started
    tried = (parcel, timing.started, duration, HEADERS | headers, timing.phases())
    if answer is None:
        return Outcome(*tried, error=word)
    return Outcome(
        *tried,
        status_code=answer.status,
        answer_headers=kept_headers(answer.headers),
        body=answer.body,
        hint=_hint(answer),
        control=control(answer.headers.get("webhook-delivery")),
    )


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """What the log keeps of an answer's headers: up to 8,000 characters, without cookies."""
    kept: dict[str, str] = {}
    room = MAX_HEADER_CHARACTERS
    for name, value in headers.items():
        key = name.lower()
        text = "…" if key == "set-cookie" else _readable(value)
        room -= len(key) + len(text)
        if room < 0:
            break
        kept[key] = f"{kept[key]}, {text}" if key in kept else text
    return kept


def _readable(value: str) -> str:
    """A header's value as text that JSON and PostgreSQL can hold."""
    if value.isascii() and value.isprintable():
        return value
    text = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def error_word(error: Exception) -> str:
    """The word kept of a failed request. Refused addresses and errno give nothing else away."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressRefused):
            return "address_not_allowed"
        cause = cause.__cause__
    kinds: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
        (aiohttp.InvalidURL, "invalid_url"),
        (aiohttp.ClientConnectorDNSError, "dns_failed"),
        ((aiohttp.ClientSSLError, SSLError), "tls_failed"),
        (aiohttp.ConnectionTimeoutError, "connect_timeout"),
        (TimeoutError, "timeout"),
        (aiohttp.ClientConnectorError, "connect_failed"),
        (aio.ResponseTooLarge, "response_too_large"),
        ((HttpProcessingError, aiohttp.ClientPayloadError), "invalid_response"),
        ((aiohttp.ClientConnectionError, OSError), "disconnected"),
    )
    return next((word for kind, word in kinds if isinstance(error, kind)), "failed")


def _hint(answer: aio.Answer) -> float | None:
    if answer.status not in (429, 503):
        return None
    return retry_after(answer.headers.get("Retry-After"), datetime.now(UTC))
