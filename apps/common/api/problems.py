"""Every error as RFC 9457 `application/problem+json`, in one place."""

from http import HTTPStatus
from typing import Any

import orjson
import structlog
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.views import defaults
from django.views.csrf import csrf_failure
from psycopg import errors as pg
from rest_framework import exceptions as drf
from rest_framework.exceptions import APIException, ErrorDetail

from apps.common import errors as domain
from apps.common.api.serializers import MAX_FAULTS, QueryInvalid
from apps.common.api.throttling import RateLimited
from apps.common.errors import Fault
from apps.common.middleware import request_id_of
from apps.common.schemas import array, component, integer, obj, string

# Where people read what each code means (apps.common.api.codes).
PAGE = "/api/problems"

PROBLEM = component(
    "Problem",
    obj(
        {
            "type": string("Where this kind of problem is explained.", format="uri-reference"),
            "title": string("The kind of problem, in words."),
            "status": integer("The HTTP status."),
            "detail": string("What is wrong this time, and what to do."),
            "code": string("A stable word for programs."),
            "request_id": string("Quote it when you ask for help."),
            "errors": array(
                obj(
                    {
                        "pointer": string("JSON pointer (RFC 6901) into the body."),
                        "parameter": string("The query parameter."),
                        "code": string(),
                        "detail": string(),
                    },
                    optional=("pointer", "parameter"),
                )
                | {"additionalProperties": True},
                f"One entry for each wrong place in the input, the first {MAX_FAULTS} of them.",
            ),
        },
        optional=("errors",),
    ),
    example={
        "type": f"{PAGE}#invalid",
        "title": "The request is not valid",
        "status": 400,
        "detail": "Correct the places listed in errors and send the request again.",
        "code": "invalid",
        "request_id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a11",
        "errors": [
            {
                "pointer": "/items/0/quantity",
                "code": "min_value",
                "detail": "Ensure this value is greater than or equal to 1.",
            }
        ],
    },
)

_STATUS: dict[type[domain.DomainError], int] = {
    domain.Invalid: 400,
    domain.Forbidden: 403,
    domain.NotFound: 404,
    domain.Conflict: 409,
    domain.Stale: 412,
    domain.Unprocessable: 422,
    domain.Unavailable: 503,
    domain.TooOften: 429,
}

_BUSY = (pg.LockNotAvailable, pg.QueryCanceled, pg.DeadlockDetected, pg.SerializationFailure)

# People in the back office get Django's own pages instead.
_ADMIN = "/admin/"

log = structlog.get_logger(__name__)


class ProblemResponse(HttpResponse):
    """A problem+json answer."""

    def __init__(
        self,
        request: HttpRequest,
        *,
        status: int,
        code: str,
        detail: str,
        title: str = "",
        faults: list[dict[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
    ):
        body: dict[str, Any] = {
            "type": f"{PAGE}#{code}",
            "title": title or HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "code": code,
            "request_id": request_id_of(request),
        }
        if faults:
            body["errors"] = faults[:MAX_FAULTS]
        super().__init__(
            orjson.dumps(body),
            status=status,
            headers=headers,
            content_type="application/problem+json",
        )


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's hook. None lets an unexpected error rise to the 500 handler, which is problem+json too."""
    request = context["request"]._request
    if isinstance(error, domain.DomainError):
        return _of_domain(request, error)
    if isinstance(error, QueryInvalid):
        return _invalid(request, [_of_parameter(fault) for fault in flatten(error.detail)])
    if isinstance(error, drf.ValidationError):
        return _invalid(request, flatten(error.detail))
    if isinstance(error, APIException):
        return _of_drf(request, error)
    if isinstance(error, Http404):
        return not_found(request)
    if isinstance(error, PermissionDenied):
        return ProblemResponse(request, status=403, code="forbidden", detail="This is not allowed.")
    if isinstance(error, RequestDataTooBig):
        return too_large(request)
    if isinstance(error, SuspiciousOperation):
        return bad_request(request)
    return _of_database(request, error)


def flatten(detail: Any, pointer: str = "") -> list[dict[str, Any]]:
    """DRF's nested error structure as a list of faults with JSON pointers."""
    if isinstance(detail, dict):
        return [
            fault
            for name, inner in detail.items()
            for fault in flatten(
                inner, pointer if name == "non_field_errors" else f"{pointer}/{_escape(name)}"
            )
        ]
    if isinstance(detail, list):
        faults: list[dict[str, Any]] = []
        for index, inner in enumerate(detail):
            at = pointer if isinstance(inner, ErrorDetail) else f"{pointer}/{index}"
            faults += flatten(inner, at)
        return faults
    code = detail.code if isinstance(detail, ErrorDetail) else "invalid"
    return [{"pointer": pointer, "code": code, "detail": str(detail)}]


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """`handler400`: a header, host or URL that cannot be accepted."""
    return ProblemResponse(
        request,
        status=400,
        code="bad_request",
        detail="The request is malformed: check its Host header, URL and encoding.",
    )


def too_large(request: HttpRequest) -> HttpResponse:
    return ProblemResponse(
        request,
        status=413,
        code="body_too_large",
        detail="The body may have 1 MiB at the most. Send less at a time.",
    )


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """`handler403`."""
    if request.path.startswith(_ADMIN) and exception is not None:
        return defaults.permission_denied(request, exception)
    return ProblemResponse(request, status=403, code="forbidden", detail="This is not allowed.")


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """`CSRF_FAILURE_VIEW`: a form of the back office that is too old, or a POST where nothing is written."""
    if request.path.startswith(_ADMIN):
        return csrf_failure(request, reason=reason)
    return forbidden(request)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """`handler404`: nothing stands at this path, or nothing that this key may see."""
    if request.path.startswith(_ADMIN) and exception is not None:
        return defaults.page_not_found(request, exception)
    return ProblemResponse(
        request,
        status=404,
        code="not_found",
        title="Not found",
        detail="Nothing is here, or nothing that your key may see. /api/docs/ lists every call.",
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """`handler500`: our fault; the log has the rest under this request id."""
    if request.path.startswith(_ADMIN):
        return defaults.server_error(request)
    return ProblemResponse(
        request,
        status=500,
        code="internal_error",
        detail="The fault is ours and has been logged. Quote the request_id if it happens again.",
    )


def status_of(kind: type[domain.DomainError]) -> int:
    """The HTTP status of a class of errors."""
    return next(_STATUS[base] for base in kind.__mro__ if base in _STATUS)


def _of_domain(request: HttpRequest, error: domain.DomainError) -> HttpResponse:
    headers = (
        {"Retry-After": str(error.retry_after)} if isinstance(error, domain.Unavailable) else None
    )
    return ProblemResponse(
        request,
        status=status_of(type(error)),
        code=error.code,
        title=error.title,
        detail=error.detail,
        faults=[_fault(fault) for fault in error.faults],
        headers=headers,
    )


def _of_drf(request: HttpRequest, error: APIException) -> HttpResponse:
    headers: dict[str, str] = {}
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(error.retry_after)
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    code = error.get_codes()
    return ProblemResponse(
        request,
        status=error.status_code,
        code=code if isinstance(code, str) else "error",
        detail=str(error.detail),
        headers=headers,
    )


def _of_database(request: HttpRequest, error: Exception) -> HttpResponse | None:
    """A busy or absent database is 503, a value that no column can hold is 400."""
    cause = error.__cause__
    if isinstance(cause, pg.UniqueViolation) and isinstance(error, IntegrityError):
        # Services look first; this is whoever came second in a race.
        return ProblemResponse(
            request,
            status=409,
            code="already_exists",
            title=domain.Conflict.title,
            detail="Another request has just made the same thing. Read it before you try again.",
        )
    if isinstance(cause, _BUSY):
        code, detail = "busy", "Others are changing the same object. Send the request again."
    elif isinstance(error, (OperationalError, InterfaceError)):
        code, detail = "database_unavailable", "The database cannot be reached just now."
    elif isinstance(error, DataError):
        return _invalid(
            request, [{"pointer": "", "code": "invalid", "detail": "A value is too large."}]
        )
    else:
        return None
    log.warning("request_unavailable", code=code, error=repr(error))
    return ProblemResponse(
        request, status=503, code=code, detail=detail, headers={"Retry-After": "1"}
    )


def _invalid(request: HttpRequest, faults: list[dict[str, Any]]) -> HttpResponse:
    return ProblemResponse(
        request,
        status=400,
        code=domain.Invalid.code,
        title=domain.Invalid.title,
        detail="Correct the places listed in errors and send the request again.",
        faults=faults,
    )


def _fault(fault: Fault) -> dict[str, Any]:
    return {"pointer": fault.pointer, "code": fault.code, "detail": fault.detail, **fault.extra}


def _of_parameter(fault: dict[str, Any]) -> dict[str, Any]:
    return {
        "parameter": fault["pointer"].lstrip("/"),
        "code": fault["code"],
        "detail": fault["detail"],
    }


def _escape(name: Any) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")
