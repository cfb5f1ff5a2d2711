"""Orders: placed, read, changed, deleted, and their history."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from apps.common import clock
from apps.common.actor import ActorKind
from apps.common.api.conditional import etag, if_match, not_modified
from apps.common.api.idempotency import answer_row, answered_first, replay, retryable
from apps.common.api.openapi import refusal
from apps.common.api.pagination import PageQuery, keyset_page
from apps.common.api.responses import Json, NoContent
from apps.common.api.serializers import parse_body, parse_query
from apps.common.api.views import ApiView
from apps.common.idempotency import Retryable
from apps.common.schemas import page
from apps.orders import selectors
from apps.orders.api.representations import (
    CHANGE,
    ORDER,
    TRANSITIONS,
    change_object,
    own_order_object,
    transitions_object,
)
from apps.orders.api.serializers import OrderChanges, OrderInput, OrdersQuery
from apps.orders.errors import InvalidTransition, OrderNotEditable, OrderNotFound
from apps.orders.models import Order, OrderLine
from apps.orders.services import orders
from apps.orders.services.asked import Asked, external_id_taken, insufficient_stock
from apps.orders.services.building import NewOrder, Placed
from apps.orders.services.placing import Answered, Retry, place_order
from apps.orders.states import describe, ways

_NOT_FOUND = OrderNotFound("There is no such order.")
_ADDRESS = {
    "name": "Ada Lovelace",
    "line1": "12 St James's Square",
    "city": "London",
    "postal_code": "SW1Y 4JH",
    "country": "GB",
}
_MUGS = OpenApiExample(
    "Two mugs",
    description="Of the storefront and the product in the examples of their calls.",
    value={
        "storefront": "demo-shop",
        "customer_id": "customer-1",
        "items": [{"sku": "MUG-BLUE", "quantity": 2}],
        "shipping_address": _ADDRESS,
        "metadata": {"gift": True},
    },
    request_only=True,
)
_MUG_AND_TEA = OpenApiExample(
    "Two products, under an id of your own",
    description="Make both products first. A second order with this `external_id` is refused.",
    value={
        "storefront": "demo-shop",
        "customer_id": "customer-1",
        "external_id": "shop-10001",
        "items": [{"sku": "MUG-BLUE", "quantity": 1}, {"sku": "TEA-EARL-GREY", "quantity": 3}],
    },
    request_only=True,
)
_SHORTAGE = refusal(
    "Not enough in stock",
    insufficient_stock(
        Asked.of([{"sku": "MUG-BLUE", "quantity": 1}, {"sku": "TEA-EARL-GREY", "quantity": 3}]),
        {"TEA-EARL-GREY": 2},
    ),
)
_TAKEN = refusal("A taken external_id", external_id_taken("shop-10001"))
_NO_SUCH_STEP = refusal(
    "A step that is not open",
    InvalidTransition("The order is completed and cannot become pending; that is its end."),
)
_TOO_LATE = refusal(
    "Too late for other items",
    OrderNotEditable("The order is shipped; items change while it is pending or confirmed."),
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
        return keyset_page(
            request, rows.prefetch_related("lines", "shipments__items"), _object, query
        )

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
        responses={201: ORDER},
        examples=[_MUGS, _MUG_AND_TEA, _SHORTAGE, _TAKEN],
    )
    @answered_first
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
    not_found = _NOT_FOUND

    @extend_schema(operation_id="get_order", summary="Get an order", responses={200: ORDER})
    def get(self, request: Request, order_id: UUID) -> HttpResponse:
        account_id = self.principal.account_id
        if "HTTP_IF_NONE_MATCH" in request._request.META:
            version = selectors.order_version(account_id, order_id)
            if unchanged := not_modified(request, etag(version)):
                return unchanged
        order = selectors.order(account_id, order_id)
        return _answer(order, selectors.lines_of(order))

    @extend_schema(
        operation_id="update_order",
        summary="Change an order",
        description=(
            "Everything sent changes in one step, told by one event. Items change while the order is "
            "pending or confirmed, and the stock with them, never below what was shipped of them. "
            "`shipped` ships what is left, `returned` takes all back into stock; for parts there are "
            f"calls of their own. Steps of `status`:\n\n{describe()}"
        ),
        request=OrderChanges,
        responses={200: ORDER},
        examples=[_CONFIRM, _ITEMS, _SHIP, _NO_SUCH_STEP, _TOO_LATE, _SHORTAGE],
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
    not_found = _NOT_FOUND

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


@extend_schema(tags=["Orders"])
class OrderTransitionsView(ApiView):
    """Where an order can go."""

    scope = "orders"
    not_found = _NOT_FOUND

    @extend_schema(
        operation_id="list_order_transitions",
        summary="See where an order can go",
        description="For every other status whether the order can go there now, and if not, why.",
        responses={200: TRANSITIONS},
    )
    def get(self, request: Request, order_id: UUID) -> HttpResponse:
        order = selectors.order(self.principal.account_id, order_id)
        lines = selectors.lines_of(order)
        return Json(transitions_object(order, ways(order, lines, ActorKind.API_KEY, clock.now())))


def _object(order: Order) -> dict[str, Any]:
    return own_order_object(order, selectors.lines_of(order))


def _answer(order: Order, lines: list[OrderLine]) -> Json:
    return Json(own_order_object(order, lines), headers={"ETag": etag(order.version)})


def _created(request: Request, placed: Placed) -> Json:
    answer = _answer(*placed)
    answer.status_code = 201
    answer["Location"] = f"{request.path}/{placed.order.id}"
    return answer
