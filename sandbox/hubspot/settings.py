"""How the simulated HubSpot is minded: everything here can be changed while it runs."""

import threading
import time
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from sandbox.hubspot.refusals import Refusal, too_many


@dataclass
class Settings:
    """Limits, latency and moods; `PATCH /_control/settings` changes any of them."""

    latency_seconds: float = 0.0
    # Calls per interval of the whole app, counted over the last `interval_seconds`.
    rate_limit: int = 100
    interval_seconds: float = 10.0
    search_limit: int = 5  # searches per second
    secondly_limit: int | None = None  # calls per second; none unless set
    daily_limit: int = 250_000
    daily_used: int = 0
    resets_at: str = "2099-01-01T00:00:00Z"
    # Tokens that are void, and those that lack a scope.
    void_tokens: list[str] = field(default_factory=list)
    unscoped_tokens: list[str] = field(default_factory=list)
    # A part of the paths for which every token lacks the scope.
    unscoped_path: str = ""
    # False: one bad row spoils its batch (400, 409), as when no trace ids are sent.
    row_errors: bool = True
    # False: results do not give trace ids back, as before the dated versions.
    echo_traces: bool = True
    # Answer 500 to every call that carries this text.
    breaks_on: str = ""
    # Answer every call to HubSpot's own paths with this status until it is 0 again.
    always: int = 0
    always_headers: dict[str, str] = field(default_factory=dict)
    # Where contacts' changes are told, and what that is signed with.
    webhook_url: str = ""
    client_secret: str = ""
    # False: only what people change is told, not what came by the API.
    echoes: bool = True

    def change(self, **values: Any) -> None:
        """Raises ValueError for a name that there is not."""
        known = {one.name for one in fields(self)}
        if not values.keys() <= known:
            raise ValueError(f"unknown settings: {', '.join(sorted(values.keys() - known))}")
        for name, value in values.items():
            setattr(self, name, value)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Scripted:
    """What the next matching call is answered with, instead of being carried out.

    `path` is a part of the path it is meant for. `status` 0 closes the connection without an answer;
    with `after` the call is carried out first, so that its answer alone is lost. `delay` is in seconds.
    """

    status: int = 200
    body: Any = None
    raw: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    path: str = ""
    after: bool = False


class Limits:
    """Counts calls by HubSpot's three policies; refuses the one too many, which counts as well."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._calls: list[float] = []
        self._searches: list[float] = []

    def reset(self) -> None:
        with self._lock:
            self._calls.clear()
            self._searches.clear()

    def count(self, *, is_search: bool) -> tuple[dict[str, str], Refusal | None]:
        """The headers of the answer, and the refusal if it was one too many."""
        now = time.monotonic()
        with self._lock:
            settings = self._settings
            if is_search:
                return {}, self._count_search(now)
            self._calls = [at for at in self._calls if at > now - settings.interval_seconds]
            within_second = sum(at > now - 1 for at in self._calls)
            refusal = self._refusal(within_second)
            if refusal is None:
                self._calls.append(now)
                settings.daily_used += 1
            return self._headers(), refusal

    def _refusal(self, within_second: int) -> Refusal | None:
        settings = self._settings
        if settings.daily_used >= settings.daily_limit:
            return too_many("DAILY")
        if settings.secondly_limit is not None and within_second >= settings.secondly_limit:
            return too_many("SECONDLY")
        if len(self._calls) >= settings.rate_limit:
            return too_many("TEN_SECONDLY_ROLLING")
        return None

    def _count_search(self, now: float) -> Refusal | None:
        self._searches = [at for at in self._searches if at > now - 1]
        if len(self._searches) >= self._settings.search_limit:
            return too_many("SECONDLY")
        self._searches.append(now)
        return None

    def _headers(self) -> dict[str, str]:
        settings = self._settings
        return {
            "X-HubSpot-RateLimit-Max": str(settings.rate_limit),
            "X-HubSpot-RateLimit-Remaining": str(max(0, settings.rate_limit - len(self._calls))),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(settings.interval_seconds * 1000)),
            "X-HubSpot-RateLimit-Daily": str(settings.daily_limit),
            "X-HubSpot-RateLimit-Daily-Remaining": str(
                max(0, settings.daily_limit - settings.daily_used)
            ),
        }
