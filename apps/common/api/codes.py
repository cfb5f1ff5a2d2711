"""The codes of every problem, and the page that explains them: where `type` of each problem leads."""

from collections.abc import Iterator
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.common.api.problems import status_of
from apps.common.errors import DomainError

# Those that no class of `errors.py` carries: code -> status and meaning.
GENERAL: dict[str, tuple[int, str]] = {
    "bad_request": (400, "The Host header, the URL or the encoding cannot be accepted."),
    "malformed_json": (400, "The body is not JSON in UTF-8."),
    "nul_character": (400, "The body contains a NUL character."),
    "too_deep": (400, "The body is nested too deep."),
    "not_authenticated": (401, "No API key was sent."),
    "authentication_failed": (401, "The API key is unknown, expired or revoked."),
    "invalid_signature": (401, "HubSpot's signature is missing, wrong or older than five minutes."),
    "missing_scope": (403, "The key lacks the scope of this call; the answer names it."),
    "method_not_allowed": (
        405,
        "The address exists, not this method; `Allow` lists those that do.",
    ),
    "not_acceptable": (406, "The answer cannot be given in what `Accept` asks for."),
    "already_exists": (409, "Another request has just made the same thing."),
    "request_in_flight": (409, "The first request with this `Idempotency-Key` is still at work."),
    "length_required": (411, "A body comes without `Content-Length` (chunked)."),
    "body_too_large": (413, "The body is larger than 1 MiB."),
    "uri_too_long": (414, "The address is longer than 8 KiB; said by the proxy."),
    "unsupported_media_type": (415, "The body is not `application/json`."),
    "unsupported_content_encoding": (415, "The body is compressed."),
    "idempotency_key_reused": (422, "This `Idempotency-Key` was used for another request."),
    "rate_limited": (429, "Too many calls; `Retry-After` says when to go on."),
    "headers_too_large": (431, "A header is longer than 8 KiB; said by the proxy."),
    "internal_error": (500, "The fault is ours."),
    "server_unreachable": (502, "The proxy cannot reach the server."),
    "busy": (503, "Others are changing the same object just now."),
    "database_unavailable": (503, "The database cannot be reached just now."),
    "server_timeout": (504, "The proxy has waited too long for the server."),
}


class Code(NamedTuple):
    """What a problem's `code` means, and the HTTP status that it comes with."""

    status: int
    code: str
    meaning: str


def all_codes() -> list[Code]:
    """Every code, by status."""
    meanings = {**_of_classes(DomainError), **GENERAL}
    return sorted(Code(status, code, meaning) for code, (status, meaning) in meanings.items())


def problems_page(request: HttpRequest) -> HttpResponse:
    """For people: each code under an anchor of its name."""
    return render(request, "problems.html", {"codes": all_codes()})


def _of_classes(base: type[DomainError]) -> dict[str, tuple[int, str]]:
    """What each class of errors says; of two with one code, the first."""
    meanings: dict[str, tuple[int, str]] = {}
    for kind in _kinds(base):
        own = (vars(kind).get("__doc__") or f"{kind.title}.").partition("\n")[0]
        meanings.setdefault(kind.code, (status_of(kind), own))
    return meanings


def _kinds(base: type[DomainError]) -> Iterator[type[DomainError]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds(kind)
