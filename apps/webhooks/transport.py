"""One signed request: what is sent, and what became of it."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from ssl import SSLError
from uuid import UUID

import aiohttp
import structlog

from apps.common.outgoing import aio
from apps.common.outgoing.guard import AddressRefused
from apps.webhooks.retries import retry_after
from apps.webhooks.signing import signature

HEADERS = {"content-type": "application/json", "user-agent": "Tradepost/1"}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Keyring:
    """An endpoint's signing keys, the present one first; each with the end of its validity (Unix time)."""

    keys: tuple[tuple[bytes, float], ...]

    def valid(self, at: float) -> list[bytes]:
        return [key for key, expires_at in self.keys if expires_at > at]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery under a lease of this process, with all that sending it takes.

    `step` is how far it is on the retry schedule; `occurred_at` is the event's Unix time, `leased_at`
    is `time.monotonic()`.
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt. `error` is a word for why there is no `status_code`.

    `started` is `time.monotonic()`, `hint` the Retry-After of a 429 or 503 in seconds.
    """

    parcel: Parcel
    started: float
    duration: float
    headers: dict[str, str]
    status_code: int | None = None
    body: bytes = b""
    hint: float | None = None
    error: str = ""

    @property
    def is_success(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300


async def post(session: aiohttp.ClientSession, parcel: Parcel) -> Outcome:
    """Sign with the present time and send; never raises, but for cancellation."""
    now = time.time()
    headers = {
        "webhook-id": str(parcel.event_id),
        "webhook-timestamp": str(int(now)),
        "webhook-signature": signature(
            parcel.keyring.valid(now), parcel.event_id, int(now), parcel.body
        ),
    }
    started = time.monotonic()
    try:
        async with session.post(
            parcel.url, data=parcel.body, headers=headers, allow_redirects=False
        ) as response:
            # The status has decided: a body that is late or broken changes nothing.
            body = await aio.read_capped(response)
            return Outcome(
                parcel=parcel,
                started=started,
                duration=time.monotonic() - started,
                headers=HEADERS | headers,
                status_code=response.status,
                body=body,
                hint=_hint(response),
            )
    except Exception as error:
        word = error_word(error)
        if word == "failed":
            log.exception("webhook_attempt_failed", delivery_id=str(parcel.delivery_id))
        return Outcome(
            parcel=parcel,
            started=started,
            duration=time.monotonic() - started,
            headers=HEADERS | headers,
            error=word,
        )


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
        ((aiohttp.ClientResponseError, aiohttp.ClientPayloadError), "invalid_response"),
        ((aiohttp.ClientConnectionError, OSError), "disconnected"),
    )
    return next((word for kind, word in kinds if isinstance(error, kind)), "failed")


def _hint(response: aiohttp.ClientResponse) -> float | None:
    if response.status not in (429, 503):
        return None
    return retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
