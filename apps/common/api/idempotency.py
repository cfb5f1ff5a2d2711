"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a retried POST has one effect.

The answer is stored in the transaction of the effect, so the two cannot part: no answer without an
effect, no effect whose answer is forgotten. Two requests with one key never wait for each other: the
second is told 409 while the first is in flight.
"""

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import orjson
from django.db import transaction
from django.http import HttpResponse
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from apps.common.api.responses import Json
from apps.common.api.views import ApiView
from apps.common.errors import Fault, Invalid
from apps.common.idempotency import Retryable, require_same, stored_answer, take_lock
from apps.common.models import IdempotencyKey
from apps.common.retries import retried

HEADER = "Idempotency-Key"

Handler = Callable[..., HttpResponse]


def retryable(view: ApiView, request: Request) -> Retryable | None:
    """The key of this POST, or None when it carries none; `Invalid` when the key is no good."""
    key = request._request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return None
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise Invalid(
            f"{HEADER} must be 1 to 255 printable ASCII characters; a random UUID is a good choice.",
            faults=[Fault(f"/{HEADER}", "invalid_idempotency_key", "Send another key.")],
        )
    asked = orjson.dumps(request.data, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(f"{request.method} {request.path}\n".encode() + asked).hexdigest()
    return Retryable(account_id=view.principal.account_id, key=key, fingerprint=digest)


def idempotent(handler: Handler) -> Handler:
    """Decorates `post`: runs it in one transaction with the row that remembers its answer.

    Fields that the view lists in `secret_fields` are stored as null, so a replayed answer never shows
    a secret again. An answer that is not 2xx is not stored: it had no effect.
    """

    @functools.wraps(handler)
    def post(view: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        asked = retryable(view, request)
        if asked is None:
            return handler(view, request, *args, **kwargs)
        return _answer_once(view, asked, lambda: handler(view, request, *args, **kwargs))

    post.is_idempotent = True  # type: ignore[attr-defined]  # tests walk every POST for it
    return post


def answered_first(handler: Handler) -> Handler:
    """Decorates a `post` that looks at what is sent before it looks for its key's answer, which then goes
    before a refusal: what was right at first may not be any more (an auction that has ended meanwhile, a
    name that lost its address)."""

    @functools.wraps(handler)
    def post(view: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return handler(view, request, *args, **kwargs)
        except (Invalid, ValidationError):
            asked = retryable(view, request)
            stored = stored_answer(asked) if asked else None
            if asked is None or stored is None:
                raise
            return replay(stored, asked)

    return post


@retried  # services inside this transaction leave their deadlocks to it
@transaction.atomic
def _answer_once(view: Any, asked: Retryable, handle: Callable[[], HttpResponse]) -> HttpResponse:
    take_lock(asked)
    stored = stored_answer(asked)
    if stored is not None:
        return replay(stored, asked)
    response = handle()
    if 200 <= response.status_code < 300:
        IdempotencyKey.objects.create(**answer_row(view, asked, response))
    return response


def replay(stored: IdempotencyKey, asked: Retryable) -> HttpResponse:
    """The first answer again; `Unprocessable` when it answered another question."""
    require_same(stored, asked)
    response = HttpResponse(
        bytes(stored.body), status=stored.status, content_type="application/json"
    )
    response["Idempotent-Replayed"] = "true"
    if stored.location:
        response["Location"] = stored.location
    return response


def answer_row(view: ApiView, asked: Retryable, response: HttpResponse) -> dict[str, Any]:
    """The columns of the row that remembers `response`."""
    body = response.content
    secret_fields: tuple[str, ...] = getattr(view, "secret_fields", ())
    if secret_fields and isinstance(response, Json):
        body = orjson.dumps(
            {
                name: None if name in secret_fields else value
                for name, value in response.data.items()
            }
        )
    return {
        "account_id": asked.account_id,
        "key": asked.key,
        "fingerprint": asked.fingerprint,
        "status": response.status_code,
        "body": body,
        "location": response.headers.get("Location", ""),
    }
