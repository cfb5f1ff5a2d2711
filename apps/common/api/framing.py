"""Requests whose frame hides what is in them, refused before anything reads them."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from apps.common.api.problems import ProblemResponse, not_found


class FramingMiddleware:
    """Refuses bodies that WSGI cannot show whole, and paths that PostgreSQL cannot compare.

    Without `Content-Length` Django sees an empty body, so a chunked one would be overlooked and the
    call carried out as if nothing had been sent.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._refusal(request) or self.get_response(request)

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
