"""What can be wrong with a request, said in the domain's words.

Services raise these; apps subclass them in their own `errors.py`. They know nothing of HTTP: the one
place that turns them into problem+json is `apps.common.api.problems`.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong place in the input. `pointer` is a JSON pointer (RFC 6901), or `""` for the whole."""

    pointer: str
    code: str
    detail: str
    extra: dict[str, Any] = field(default_factory=dict)


class DomainError(Exception):
    """Base of every error that a caller causes; `code` is a stable word for programs."""

    code = "error"
    title = "The request could not be carried out"

    def __init__(self, detail: str, *, code: str | None = None, faults: list[Fault] | None = None):
        super().__init__(detail)
        self.detail = detail
        self.faults = faults or []
        if code is not None:
            self.code = code


class Invalid(DomainError):
    """The input breaks a rule; `faults` say where."""

    code = "invalid"
    title = "The request is not valid"


class NotFound(DomainError):
    """There is no such object, or the caller may not know of it."""

    code = "not_found"
    title = "Not found"


class Forbidden(DomainError):
    """The caller is known, but may not do this."""

    code = "forbidden"
    title = "Not allowed"


class Conflict(DomainError):
    """The object's present state does not allow the change."""

    code = "conflict"
    title = "The present state does not allow this"


class Stale(DomainError):
    """The caller's copy is older than the object (If-Match)."""

    code = "stale_version"
    title = "The object has changed since you read it"


class Unprocessable(DomainError):
    """Well-formed and valid, but contradicts an earlier request."""

    code = "unprocessable"
    title = "The request contradicts an earlier one"


class Unavailable(DomainError):
    """Nothing is wrong with the request; the same one may succeed in `retry_after` seconds."""

    code = "unavailable"
    title = "Try again in a moment"

    def __init__(self, detail: str, *, code: str | None = None, retry_after: int = 1):
        super().__init__(detail, code=code)
        self.retry_after = retry_after


class TooOften(Unavailable):
    """The caller may do this again in `retry_after` seconds."""

    code = "too_often"
    title = "Too often"
