"""The request id: accepted, echoed, and in every log line that the request causes."""

import re
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

from apps.common.ids import uuid7

_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

GetResponse = Callable[[HttpRequest], HttpResponse]


class RequestIdMiddleware:
    """Takes `X-Request-Id` when it is short and printable, makes a UUIDv7 otherwise."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        offered = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = offered if _ACCEPTABLE.fullmatch(offered) else str(uuid7())
        request.META["tradepost.request_id"] = request_id
        bound = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            response = self.get_response(request)
        finally:
            structlog.contextvars.reset_contextvars(**bound)
        response["X-Request-Id"] = request_id
        return response


def request_id_of(request: HttpRequest) -> str:
    """The id of the request at hand; empty where the middleware did not run."""
    return str(request.META.get("tradepost.request_id", ""))
