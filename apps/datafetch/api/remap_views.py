"""The mapping, applied to what was fetched before."""

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from apps.common.api.idempotency import idempotent
from apps.common.api.openapi import refusal
from apps.common.api.responses import Json
from apps.common.api.serializers import NoBody, parse_body
from apps.common.api.views import ApiView
from apps.datafetch import selectors
from apps.datafetch.api.representations.records import KEPT, kept_object
from apps.datafetch.errors import NothingKept, NotRemappable, RunInProgress, StreamNotFound
from apps.datafetch.events import RUN, run_object
from apps.datafetch.models import RAW_KEPT
from apps.datafetch.services.remapping import remap_stream

_NOTHING = OpenApiExample("Nothing", value={}, request_only=True)
_BUSY = refusal("A run is in progress", RunInProgress("A run is in progress."))
_NO_KEY = refusal(
    "Records have no key",
    NotRemappable("Without primary_key a record with another mapping is another record."),
)
_NOTHING_KEPT = refusal(
    "Nothing is kept", NothingKept("No page is kept that the mapping could be applied to.")
)


@extend_schema(tags=["Streams"])
class RemapView(ApiView):
    """Reading kept pages again."""

    scope = "streams"
    not_found = StreamNotFound("There is no such stream.")

    @extend_schema(
        operation_id="get_stream_kept_pages",
        summary="See which raw pages are kept",
        description=(
            f"The body of a page is kept for {RAW_KEPT.days} days after it was fetched, of several answers to "
            "one request the newest. Pages from before a change of `primary_key` are known, and cannot be "
            "read again."
        ),
        responses={200: KEPT},
    )
    def get(self, request: Request, stream_id: UUID) -> HttpResponse:
        stream = selectors.stream(self.principal.account_id, stream_id)
        return Json(kept_object(selectors.kept_pages(stream), stream))

    @extend_schema(
        operation_id="remap_stream",
        summary="Apply the present mapping to kept pages",
        description=(
            "After a change of `mapping`, `records_path` or `schema_policy`: reads the raw pages that are "
            "kept once more, by the configuration as it now is, without asking the remote API. It is a run with "
            "the trigger `remap`, to be followed and stopped like others. A record that comes out otherwise "
            "gets a new version; one whose page is kept no more stays as it is, and nothing is deleted: what "
            "is not selected any more goes with the next full refresh."
        ),
        request=NoBody,
        examples=[_NOTHING, _BUSY, _NO_KEY, _NOTHING_KEPT],
        responses={202: RUN},
    )
    @idempotent
    def post(self, request: Request, stream_id: UUID) -> HttpResponse:
        parse_body(NoBody, request)
        run = remap_stream(
            account_id=self.principal.account_id, stream_id=stream_id, actor=self.actor
        )
        return Json(run_object(run), status=202)
