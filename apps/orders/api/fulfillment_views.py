"""What happens to an order in parts: shipments, returns, payments."""

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from apps.common.api.conditional import etag
from apps.common.api.idempotency import idempotent
from apps.common.api.openapi import refusal
from apps.common.api.pagination import PageQuery, keyset_page
from apps.common.api.responses import Json
from apps.common.api.serializers import parse_body, parse_query
from apps.common.api.views import ApiView
from apps.common.schemas import page
from apps.orders import selectors
from apps.orders.api.representations import (
    ORDER,
    PAYMENT,
    RETURN,
    SHIPMENT,
    own_order_object,
    part_object,
    payment_object,
    return_object,
)
from apps.orders.api.serializers import PaymentInput, ReturnInput, ShipmentInput
from apps.orders.enums import PaymentKind
from apps.orders.errors import InvalidTransition, MoreThanLeft, OrderNotFound
from apps.orders.models import Order, OrderLine
from apps.orders.services.asked import Asked
from apps.orders.services.fulfillment import BackBySku, more_than_left, return_order, ship_order
from apps.orders.services.payments import record_payment, reference_taken, refund_too_large

_NOT_FOUND = OrderNotFound("There is no such order.")
_ALL_AT_ONCE = OpenApiExample(
    "All that is left",
    value={
        "tracking_company": "DHL",
        "tracking_number": "00340434161094042557",
        "tracking_link": "https://www.dhl.com/track?id=00340434161094042557",
    },
    request_only=True,
)
_ONE_MUG = OpenApiExample(
    "One of two mugs",
    value={"items": [{"sku": "MUG-BLUE", "quantity": 1}], "tracking_number": "1Z999AA1"},
    request_only=True,
)
_TOO_MUCH = refusal(
    "More than is left",
    MoreThanLeft(
        "Nothing was changed; errors names each item of which too much was asked.",
        faults=[
            more_than_left(
                Asked.of([{"sku": "MUG-BLUE", "quantity": 3}]), "MUG-BLUE", 1, "to be shipped"
            )
        ],
    ),
)
_NOT_CONFIRMED = refusal(
    "Not confirmed yet",
    InvalidTransition(
        "The order is pending and cannot become shipped; from there it can become confirmed or "
        "canceled."
    ),
)
_ALL_BACK = OpenApiExample("All of it", value={"reason": "not delivered"}, request_only=True)
_BROKEN = OpenApiExample(
    "One that is broken",
    value={
        "items": [{"sku": "MUG-BLUE", "quantity": 1, "restock": False}],
        "reason": "broken on the way",
    },
    request_only=True,
)
_NOTHING_OUT = refusal(
    "Nothing is out", MoreThanLeft("Nothing of the order is shipped that has not come back.")
)
_AUTHORIZED = OpenApiExample(
    "An authorisation",
    value={"kind": "authorized", "amount": 2500, "reference": "pi_3Qx7"},
    request_only=True,
)
_CAPTURED = OpenApiExample(
    "Its capture",
    value={"kind": "captured", "amount": 2500, "reference": "pi_3Qx7"},
    request_only=True,
)
_REFUNDED = OpenApiExample(
    "A part is refunded",
    value={"kind": "refunded", "amount": 1250, "reference": "re_1Ab2"},
    request_only=True,
)


@extend_schema(tags=["Orders"])
class ShipmentsView(ApiView):
    """The shipments of an order."""

    scope = "orders"
    not_found = _NOT_FOUND

    @extend_schema(
        operation_id="list_shipments",
        summary="List the shipments of an order",
        description="Newest first. The order shows them too.",
        parameters=[PageQuery],
        responses={200: page(SHIPMENT)},
    )
    def get(self, request: Request, order_id: UUID) -> HttpResponse:
        query = parse_query(PageQuery, request)
        rows = selectors.shipments(self.principal.account_id, order_id)
        return keyset_page(request, rows, part_object, query)

    @extend_schema(
        operation_id="ship_order_items",
        summary="Ship some or all of an order",
        description=(
            "Of a confirmed order; what is shipped leaves the stock. The order stays `confirmed` with "
            "`fulfillment: partial` until nothing is left to ship, then it is `shipped`. Its tracking "
            "is that of the newest shipment. Answers with the order."
        ),
        request=ShipmentInput,
        responses={201: ORDER},
        examples=[_ALL_AT_ONCE, _ONE_MUG, _TOO_MUCH, _NOT_CONFIRMED],
    )
    @idempotent
    def post(self, request: Request, order_id: UUID) -> HttpResponse:
        body = parse_body(ShipmentInput, request)
        items = body.pop("items", None)
        shipped = ship_order(
            account_id=self.principal.account_id,
            order_id=order_id,
            items=None if items is None else Asked.of(items),
            tracking=body,
            actor=self.actor,
        )
        return _order(*shipped)


@extend_schema(tags=["Orders"])
class ReturnsView(ApiView):
    """What came back of an order."""

    scope = "orders"
    not_found = _NOT_FOUND

    @extend_schema(
        operation_id="list_returns",
        summary="List the returns of an order",
        description="Newest first.",
        parameters=[PageQuery],
        responses={200: page(RETURN)},
    )
    def get(self, request: Request, order_id: UUID) -> HttpResponse:
        query = parse_query(PageQuery, request)
        rows = selectors.returns(self.principal.account_id, order_id)
        return keyset_page(request, rows, return_object, query)

    @extend_schema(
        operation_id="return_order_items",
        summary="Record that items came back",
        description=(
            "Of what was shipped, into stock or, with `restock: false`, written off. When all that was "
            "ordered has been shipped and has come back, the order is `returned`. Answers with the order."
        ),
        request=ReturnInput,
        responses={201: ORDER},
        examples=[_ALL_BACK, _BROKEN, _NOTHING_OUT],
    )
    @idempotent
    def post(self, request: Request, order_id: UUID) -> HttpResponse:
        body = parse_body(ReturnInput, request)
        items = body.get("items")
        returned = return_order(
            account_id=self.principal.account_id,
            order_id=order_id,
            items=None if items is None else [BackBySku(**item) for item in items],
            reason=body["reason"],
            actor=self.actor,
        )
        return _order(*returned)


@extend_schema(tags=["Orders"])
class PaymentsView(ApiView):
    """What was recorded of the customer's money."""

    scope = "orders"
    not_found = _NOT_FOUND

    @extend_schema(
        operation_id="list_payments",
        summary="List the payments of an order",
        description="Newest first. The order shows their sums.",
        parameters=[PageQuery],
        responses={200: page(PAYMENT)},
    )
    def get(self, request: Request, order_id: UUID) -> HttpResponse:
        query = parse_query(PageQuery, request)
        rows = selectors.payments(self.principal.account_id, order_id)
        return keyset_page(request, rows, payment_object, query)

    @extend_schema(
        operation_id="record_payment",
        summary="Record a payment",
        description=(
            "What a payment service said; nothing is charged here. Sent again with the same kind and "
            "`reference`, it answers 200 with the payment that is there. No more can be refunded than "
            "was captured."
        ),
        request=PaymentInput,
        responses={201: PAYMENT, 200: PAYMENT},
        examples=[
            _AUTHORIZED,
            _CAPTURED,
            _REFUNDED,
            refusal("A taken reference", reference_taken(PaymentKind.CAPTURED, "pi_3Qx7", 2500)),
            refusal("More than was captured", refund_too_large(1250)),
        ],
    )
    @idempotent
    def post(self, request: Request, order_id: UUID) -> HttpResponse:
        body = parse_body(PaymentInput, request)
        payment, is_new = record_payment(
            account_id=self.principal.account_id,
            order_id=order_id,
            kind=PaymentKind(body["kind"]),
            amount=body["amount"],
            reference=body["reference"],
            actor=self.actor,
        )
        return Json(payment_object(payment), status=201 if is_new else 200)


def _order(order: Order, lines: list[OrderLine]) -> Json:
    headers = {"ETag": etag(order.version)}
    return Json(own_order_object(order, lines), status=201, headers=headers)
