"""A look at a remote API before a stream reads it."""

from contextlib import nullcontext
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from apps.common.api.idempotency import answer_row, answered_first, replay, retryable
from apps.common.api.openapi import refusal
from apps.common.api.responses import Json
from apps.common.api.serializers import parse_body
from apps.common.api.views import ApiView
from apps.common.idempotency import held, stored_answer
from apps.common.models import IdempotencyKey
from apps.datafetch import selectors
from apps.datafetch.api.representations.previews import PREVIEW, preview_object
from apps.datafetch.api.serializers.streams import PreviewInput
from apps.datafetch.api.views import vet
from apps.datafetch.errors import PreviewTooSoon, StreamInvalid, StreamNotFound, TooManyPreviews
from apps.datafetch.models import Stream
from apps.datafetch.services import streams
from apps.datafetch.services.previewing import preview

_NEW = OpenApiExample(
    "Of a stream that is yet to be made",
    value={
        "url": "https://api.github.com/orgs/django/repos",
        "primary_key": "id",
        "pagination": {"type": "link_header"},
        "mapping": {"id": "id", "name": "full_name", "stars": "stargazers_count"},
        "records": 3,
    },
    request_only=True,
)
_CHANGED = OpenApiExample(
    "Of a stream as a change would leave it",
    value={
        "stream": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9d01",
        "mapping": {"id": "id", "total": "amounts.total"},
    },
    request_only=True,
)
_TOO_SOON = refusal(
    "Too soon", PreviewTooSoon("One preview in two seconds, please. Go on in 2 s.", retry_after=2)
)
_TOO_MANY = refusal(
    "Too many", TooManyPreviews("Wait until another preview has ended.", retry_after=5)
)


@extend_schema(tags=["Streams"])
class PreviewView(ApiView):
    """The dry run."""

    scope = "streams"

    @extend_schema(
        operation_id="preview_stream",
        summary="Look at the first page as it would be stored",
        description=(
            "Takes what `POST /streams` takes (`name` may be left out), fetches the first page now and shows "
            "what a run would make of it. Nothing is stored. With `stream`, the id of one of yours, the rest "
            "is a change to it as by `PATCH`: its secrets are used, and are sent nowhere else; `change` tells "
            "what would become of each record. The page is that of a full refresh, from `cursor.initial` on.\n\n"
            "What goes wrong at the other side is no error of this call: the answer is 200, and `error` is "
            "what a run would fail of or try again after, with the status, telling headers and the beginning "
            "of the body in `response`. A configuration that `POST /streams` would refuse is refused here too.\n\n"
            "A preview takes at most 14 s, 4 MiB and a quarter of the steps that expressions may take in a "
            "run. An account may have one in two seconds (429 `preview_too_soon`), and no more of a host than "
            "its `rate_limit` and its `Retry-After` allow."
        ),
        request=PreviewInput,
        examples=[_NEW, _CHANGED, _TOO_SOON, _TOO_MANY],
        responses={200: PREVIEW},
    )
    @answered_first
    def post(self, request: Request) -> HttpResponse:
        asked = retryable(self, request)
        body = parse_body(PreviewInput, request)
        with held(asked) if asked else nullcontext():
            if asked and (stored := stored_answer(asked)):
                return replay(stored, asked)
            vet(body)
            most = body.pop("records")
            seen = preview(self._stream(body), most=most)
            answer = Json(preview_object(seen))
            if asked:
                IdempotencyKey.objects.create(**answer_row(self, asked, answer))
            return answer

    # Not by the decorator, which would keep a transaction open while the network is asked.
    post.is_idempotent = True  # type: ignore[attr-defined]  # tests walk every POST for it

    def _stream(self, body: dict[str, Any]) -> Stream:
        """What is to be looked at; nothing of it is stored."""
        account_id, wanted = self.principal.account_id, body.pop("stream", None)
        if wanted is None:
            return streams.drafted(account_id=account_id, **{"name": "", **body})
        try:
            current = selectors.stream(account_id, wanted)
        except StreamNotFound as error:
            raise StreamInvalid.at("/stream", error.code, error.detail) from error
        return streams.altered_by(current, body)
