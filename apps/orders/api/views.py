"""Orders: placed, read, changed, deleted, and their history."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.request import Request

from apps.common.api.conditional import etag, if_match, not_modified
from apps.common.api.idempotency import answer_row, replay, retryable
from apps.common.api.pagination import PageQuery, keyset_page
from apps.common.api.problems import PROBLEM
from apps.common.api.responses import Json, NoContent
from apps.common.api.serializers import parse_body, parse_query
from apps.common.api.views import ApiView
from apps.common.idempotency import Retryable
from apps.common.schemas import page
from apps.orders import selectors
from apps.orders.api.representations import CHANGE, ORDER, change_object, own_order_object
from apps.orders.api.serializers import OrderChanges, OrderInput, OrdersQuery
from apps.orders.models import Order, OrderLine
from apps.orders.services import orders
from apps.orders.services.asked import Asked
from apps.orders.services.placing import Answered, NewOrder, Placed, Retry, place_order
from apps.orders.states import describe

_MUGS = OpenApiExample(
    "Two products",
    description="Make the storefront and the products first.",
    value={
        "storefront": "web",
        "customer_id": "customer-1",
        "external_id": "web-10001",
        "items": [{"sku": "MUG-BLUE", "quantity": 2}, {"sku": "TEA-EARL-GREY", "quantity": 1}],
        "shipping_address": {
            "name": "Ada Lovelace",
            "line1": "12 St James's Square",
            "city": "London",
            "postal_code": "SW1Y 4JH",
            "country": "GB",
        },
        "metadata": {"gift": True},
    },
    request_only=True,
)
_SHORTAGE = OpenApiExample(
    "Not enough in stock",
    value={
        "type": "/api/problems#insufficient_stock",
        "title": "There is not enough in stock",
        "status": 409,
        "detail": "Nothing was reserved; errors names each item of which there is too little.",
        "code": "insufficient_stock",
        "request_id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a11",
        "errors": [
            {
                "pointer": "/items/1",
                "code": "insufficient_stock",
                "detail": "3 of TEA-EARL-GREY were asked for, 2 are available.",
                "sku": "TEA-EARL-GREY",
                "requested": 3,
                "available": 2,
            }
        ],
    },
    response_only=True,
)
_REFUSED = OpenApiResponse(
    PROBLEM,
    "Too little in stock (`insufficient_stock`), an `external_id` that is taken, or a request with the "
    "same `Idempotency-Key` still in flight.",
    examples=[_SHORTAGE],
)
_CONFIRM = OpenApiExample("Confirm", value={"status": "confirmed"}, request_only=True)
_SHIP = OpenApiExample(
    "Ship",
    value={
        "status": "shipped",
        "tracking_company": "DHL",
        "tracking_number": "00340434161094042557",
        "tracking_link": "https://www.dhl.com/track?id=00340434161094042557",
    },
    request_only=True,
)
_ITEMS = OpenApiExample(
    "Other items", value={"items": [{"sku": "MUG-BLUE", "quantity": 3}]}, request_only=True
)


@extend_schema(tags=["Orders"])
class OrdersView(ApiView):
    """Orders of the caller's account."""

    scope = "orders"

    @extend_schema(
        operation_id="list_orders",
        summary="List orders",
        description="Newest first, without deleted ones. Filters narrow together.",
        parameters=[OrdersQuery],
        responses={200: page(ORDER)},
    )
    def get(self, request: Request) -> HttpResponse:
        query = parse_query(OrdersQuery, request)
        filters = {name: query[name] for name in query.keys() - {"limit", "cursor"}}
        rows = selectors.orders(self.principal.account_id, **filters)
        return keyset_page(request, rows.prefetch_related("lines"), _object, query)

    @extend_schema(
        operation_id="place_order",
        summary="Place an order",
        description=(
            "Reserves the stock of all items in the same transaction, or of none: then 409 "
            "`insufficient_stock` names each short item with what is available. Prices and names are "
            "copied from the products. A pending order of a storefront with `reservation_minutes` "
            "expires unless it is confirmed in time."
        ),
        request=OrderInput,
        responses={201: ORDER, (409, "application/problem+json"): _REFUSED},
        examples=[_MUGS],
    )
    def post(self, request: Request) -> HttpResponse:
        asked = retryable(self, request)
        body = parse_body(OrderInput, request)
        placed = place_order(
            account_id=self.principal.account_id,
            actor=self.actor,
            wanted=NewOrder(**{**body, "items": Asked.of(body["items"])}),
            retry=self._retry(request, asked),
        )
        if isinstance(placed, Answered):
            return replay(placed.stored, placed.asked)
        return _created(request, placed)

    # Not by the decorator, which would open a transaction: the answer is stored by the statement that
    # places the order.
    post.is_idempotent = True  # type: ignore[attr-defined]  # tests walk every POST for it

    def _retry(self, request: Request, asked: Retryable | None) -> Retry | None:
        if asked is None:
            return None
        return Retry(asked, lambda placed: answer_row(self, asked, _created(request, placed)))


@extend_schema(tags=["Orders"])
class OrderView(ApiView):
    """One order."""

    scope = "orders"

    @extend_schema(operation_id="get_order", summary="Get an order", responses={200: ORDER})
    def get(self, request: Request, order_id: UUID) -> HttpResponse:
        order = selectors.order(self.principal.account_id, order_id)
        tag = etag(order.version)
        return not_modified(request, tag) or _answer(order, selectors.lines_of(order))

    @extend_schema(
        operation_id="update_order",
        summary="Change an order",
        description=(
            "Everything sent changes in one step, told by one event. Items change while the order is "
            f"pending or confirmed, and the stock with them. Steps of `status`:\n\n{describe()}"
        ),
        request=OrderChanges,
        responses={200: ORDER},
        examples=[_CONFIRM, _SHIP, _ITEMS],
    )
    def patch(self, request: Request, order_id: UUID) -> HttpResponse:
        present = selectors.order(self.principal.account_id, order_id)
        changes = parse_body(OrderChanges, request, current=_object(present))
        if "items" in changes:
            changes["items"] = Asked.of(changes["items"])
        changed = orders.change_order(
            account_id=self.principal.account_id,
            order_id=order_id,
            changes=changes,
            actor=self.actor,
            expected=if_match(request),
        )
        return _answer(*changed)

    @extend_schema(
        operation_id="delete_order",
        summary="Delete an order",
        description=(
            "It is gone from lists and answers 404 from now on; stock that it holds is released. Its "
            "rows and its history are kept, and the back office can restore it."
        ),
        responses={204: None},
    )
    def delete(self, request: Request, order_id: UUID) -> HttpResponse:
        orders.delete_order(
            account_id=self.principal.account_id,
            order_id=order_id,
            actor=self.actor,
            expected=if_match(request),
        )
        return NoContent()


@extend_schema(tags=["Orders"])
class OrderHistoryView(ApiView):
    """What happened to an order."""

    scope = "orders"

    @extend_schema(
        operation_id="list_order_changes",
        summary="List the history of an order",
        description="Every change, newest first, down to the placing: when, who, from what to what.",
        parameters=[PageQuery],
        responses={200: page(CHANGE)},
    )
    def get(self, request: Request, order_id: UUID) -> HttpResponse:
        query = parse_query(PageQuery, request)
        changes = selectors.history(self.principal.account_id, order_id)
        return keyset_page(request, changes, change_object, query)


def _object(order: Order) -> dict[str, Any]:
    return own_order_object(order, selectors.lines_of(order))


def _answer(order: Order, lines: list[OrderLine]) -> Json:
    return Json(own_order_object(order, lines), headers={"ETag": etag(order.version)})


def _created(request: Request, placed: Placed) -> Json:
    answer = _answer(*placed)
    answer.status_code = 201
    answer["Location"] = f"{request.path}/{placed.order.id}"
    return answer
