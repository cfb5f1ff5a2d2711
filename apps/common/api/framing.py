"""Requests whose frame hides what is in them, refused before anything reads them; and bodies that nobody
asked for, read to their end."""

from collections.abc import Callable
from contextlib import suppress

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError

from apps.common.api.problems import ProblemResponse, not_found


class FramingMiddleware:
    """Refuses bodies that WSGI cannot show whole, and paths that PostgreSQL cannot compare.

    Without `Content-Length` Django sees an empty body, so a chunked one would be overlooked and the
    call carried out as if nothing had been sent.

    A call is often answered before its body is read (no key, no such address), and the body may be still
    on its way. Granian then ends the connection, on which the client has sent its next call.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._refusal(request) or self.get_response(request)
        if length := request.META.get("CONTENT_LENGTH"):
            self._read_to_the_end(request, length)
        return response

    def _read_to_the_end(self, request: HttpRequest, length: str) -> None:
        if length.isdecimal() and int(length) <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            with suppress(UnreadablePostError):  # the client has gone
                request.read()

    def _refusal(self, request: HttpRequest) -> HttpResponse | None:
        if "HTTP_TRANSFER_ENCODING" in request.META:
            return ProblemResponse(
                request,
                status=411,
                code="length_required",
                detail="Send the body in one piece, with a Content-Length.",
            )
        if request.META.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
            return ProblemResponse(
                request,
                status=415,
                code="unsupported_content_encoding",
                detail="Send the body as it is, without compression.",
            )
        return not_found(request) if "\0" in request.path else None
