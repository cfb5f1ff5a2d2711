"""Why a page could not be had."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

MAX_DETAIL = 500
HIDDEN = "***"
SENSITIVE = re.compile(
    r"(^|[_.-])(api[_-]?key|apikey|key|token|secret|passw(or)?d|pwd|authorization|auth|signature|sig"
    r"|credentials?|cookie|session)$",
    re.IGNORECASE,
)
_QUERY_VALUE = re.compile(r"([?&;])([^?&;=\s]+)=([^&;#\s\"'<>]*)")


class SourceFailed(Exception):
    """A page could not be had or understood; `code` is a stable word.

    Worth another try when `is_passing`; not before `retry_after` seconds, if the server named a time.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        is_passing: bool = False,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.is_passing = is_passing
        self.retry_after = retry_after
        self.status = status

    @property
    def cause(self) -> str:
        """What its owner is told of once. Failures that may pass take turns: they are one cause."""
        if self.is_passing and self.code != "rate_limited":
            return "unavailable"
        return f"{self.code}_{self.status}" if self.code == "http_error" else self.code

    def told(self, secrets: Iterable[str]) -> dict[str, Any]:
        """For the run's `error`: without any secret."""
        return {
            "code": self.code,
            # jsonb holds no NUL, which a server may well send.
            "detail": redacted(self.detail, secrets).replace("\0", "\ufffd")[:MAX_DETAIL],
            "status": self.status,
        }


def is_sensitive(name: str) -> bool:
    """Whether a header or parameter of this name holds a secret, as far as a name can tell."""
    return SENSITIVE.search(name) is not None


def redacted(text: str, secrets: Iterable[str]) -> str:
    """`text` without these secrets, and without what query strings in it hold under telling names."""
    return _QUERY_VALUE.sub(
        lambda found: f"{found[1]}{found[2]}={HIDDEN}" if is_sensitive(found[2]) else found[0],
        masked(text, secrets),
    )


def masked(text: str, secrets: Iterable[str]) -> str:
    """`text` without these secrets."""
    for secret in sorted((one for one in secrets if len(one) >= 4), key=len, reverse=True):
        for spelling in (secret, quote(secret, safe=""), quote_plus(secret)):
            text = text.replace(spelling, HIDDEN)
    return text
