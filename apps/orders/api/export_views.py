"""All orders in one answer, of any size."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from apps.common.api.serializers import parse_query
from apps.common.api.streaming import Csv, Ndjson, streams
from apps.common.api.views import ApiView
from apps.orders import selectors
from apps.orders.api.exports import comma_separated, ndjson
from apps.orders.api.serializers import ExportQuery
from apps.orders.models import Order

_LINES: dict[str, Callable[[Iterable[list[Order]]], Iterator[bytes]]] = {
    Ndjson.media_type: ndjson,
    Csv.media_type: comma_separated,
}


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
