"""The rate limit of a key as callers see it (draft-ietf-httpapi-ratelimit-headers)."""

import math
from dataclasses import dataclass

from rest_framework.exceptions import APIException

WINDOW_SECONDS = 60


@dataclass(frozen=True, slots=True)
class RateLimitState:
    """After counting this call: `limit` calls a minute, `remaining` of them left now.

    `reset_seconds` is the time until the budget is whole again, or, when the call was refused, until
    the next one may be let through.
    """

    limit: int
    allowed: bool
    remaining: int
    reset_seconds: float

    def headers(self) -> dict[str, str]:
        """`RateLimit-Policy` and `RateLimit`."""
        return {
            "RateLimit-Policy": f'"key";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"key";r={self.remaining};t={math.ceil(self.reset_seconds)}',
        }


class RateLimited(APIException):
    """429; `retry_after` is in seconds."""

    status_code = 429
    default_code = "rate_limited"

    def __init__(self, state: RateLimitState) -> None:
        self.retry_after = max(1, math.ceil(state.reset_seconds))
        super().__init__(
            f"The key may make {state.limit} calls a minute. Go on in {self.retry_after} s."
        )
