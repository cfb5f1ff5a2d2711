"""All orders in one answer, of any size."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import UUID

from django.db import close_old_connections
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from apps.common.api.serializers import parse_query
from apps.common.api.views import ApiView
from apps.orders import selectors
from apps.orders.api.exports import comma_separated, ndjson
from apps.orders.api.serializers import ExportQuery
from apps.orders.errors import TooManyExports
from apps.orders.models import Order

# A stream keeps a thread of the web process for as long as its reader takes: never all of them.
MAX_STREAMS = 4
MAX_STREAMS_OF_ACCOUNT = 2


class Ndjson(BaseRenderer):
    """Lets `Accept` choose it; the view makes the lines itself."""

    media_type = "application/x-ndjson"
    format = "ndjson"


class Csv(BaseRenderer):
    """The same."""

    media_type = "text/csv"
    format = "csv"


_LINES: dict[str, Callable[[Iterable[list[Order]]], Iterator[bytes]]] = {
    Ndjson.media_type: ndjson,
    Csv.media_type: comma_separated,
}


class Streams:
    """How many streams of each account this process is sending."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sending: Counter[UUID] = Counter()

    def require_room(self, account_id: UUID) -> None:
        """Raise TooManyExports when this account, or all together, have as many as they may."""
        with self._lock:
            mine, all_of_them = self._sending[account_id], self._sending.total()
        if mine >= MAX_STREAMS_OF_ACCOUNT or all_of_them >= MAX_STREAMS:
            raise TooManyExports("Wait until another export has ended.", retry_after=10)

    def send(self, account_id: UUID, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """`chunks`, counted from the first one until the last is taken or the client goes away."""
        self._count(account_id, 1)
        try:
            for chunk in chunks:
                close_old_connections()  # back to the pool, while the client takes its time
                yield chunk
        finally:
            self._count(account_id, -1)

    def _count(self, account_id: UUID, change: int) -> None:
        with self._lock:
            self._sending[account_id] += change


streams = Streams()


@extend_schema(tags=["Orders"])
class OrderExportView(ApiView):
    """Orders of the caller's account as one stream."""

    scope = "orders"
    renderer_classes = (Ndjson, Csv)

    @extend_schema(
        operation_id="export_orders",
        summary="Export orders",
        description=(
            "All orders that the filters of the list let through, newest first, in one answer of any "
            "size: `Accept: application/x-ndjson` (one order a line, as GET shows it) or `text/csv` "
            "(one item a line). Should it break off, go on with `after`, the id of the last order "
            "that arrived whole."
        ),
        parameters=[ExportQuery],
        responses={
            (200, Ndjson.media_type): OpenApiTypes.STR,
            (200, Csv.media_type): OpenApiTypes.STR,
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        query: dict[str, Any] = parse_query(ExportQuery, request)
        after = query.pop("after", None)
        account_id = self.principal.account_id
        rows = selectors.orders(account_id, **query)
        chosen = request.accepted_renderer
        headers = {
            "Content-Type": f"{chosen.media_type}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="orders.{chosen.format}"',
        }
        if request.method == "HEAD":
            return HttpResponse(headers=headers)
        streams.require_room(account_id)
        lines = _LINES[str(chosen.media_type)](selectors.whole_orders(rows, after=after))
        return StreamingHttpResponse(streams.send(account_id, lines), headers=headers)
