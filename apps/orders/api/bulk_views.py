"""Many orders in one request."""

from contextlib import nullcontext
from typing import Any

import orjson
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from apps.common.api.idempotency import answer_row, answered_first, replay, retryable
from apps.common.api.problems import PROBLEM, exception_handler
from apps.common.api.responses import Json
from apps.common.api.serializers import parse_body
from apps.common.api.views import ApiView
from apps.common.idempotency import held, stored_answer
from apps.common.schemas import COMPONENTS, array, component, integer, obj
from apps.orders.api.representations import ORDER, own_order_object
from apps.orders.api.serializers import BulkInput
from apps.orders.enums import MAX_BULK
from apps.orders.services.asked import Asked
from apps.orders.services.building import NewOrder, Placed
from apps.orders.services.bulk import BulkRetry, Outcome, place_orders

_RESULT = component(
    "BulkResult",
    obj(
        {
            "status": integer(
                "What this order alone would have been answered with: 201, 400, 409."
            ),
            "order": ORDER,
            "problem": PROBLEM,
        },
        optional=("order", "problem"),
    ),
)
BULK = component(
    "BulkResults",
    obj(
        {
            "placed": integer("How many orders were placed."),
            "refused": integer("How many were not."),
            "results": array(_RESULT, "One for each order, in the order of the request."),
        }
    ),
    example={
        "placed": 1,
        "refused": 1,
        "results": [
            {"status": 201, "order": COMPONENTS["Order"]["examples"][0]},
            {"status": 400, "problem": COMPONENTS["Problem"]["examples"][0]},
        ],
    },
)
_TWO = OpenApiExample(
    "Two orders",
    value={
        "orders": [
            {
                "storefront": "demo-shop",
                "customer_id": "customer-1",
                "external_id": f"import-{number}",
                "items": [{"sku": "MUG-BLUE", "quantity": number}],
            }
            for number in (1, 2)
        ]
    },
    request_only=True,
)


@extend_schema(tags=["Orders"])
class BulkOrdersView(ApiView):
    """Orders of the caller's account, many at a time."""

    scope = "orders"

    @extend_schema(
        operation_id="place_orders",
        summary="Place many orders",
        description=(
            f"Up to {MAX_BULK:,} orders, each placed or refused by itself as `POST /orders` would have "
            "done it: `order`, or `problem` with pointers into that order. They are placed in the order "
            "in which they stand, in transactions of up to a hundred. Should the connection break or "
            "the answer be 503, send the same request again with the same `Idempotency-Key`: it goes "
            "on where it ended and places nothing twice."
        ),
        request=BulkInput,
        responses={200: BULK},
        examples=[_TWO],
    )
    @answered_first
    def post(self, request: Request) -> HttpResponse:
        asked = retryable(self, request)
        outcomes = parse_body(BulkInput, request)["orders"]
        with held(asked) if asked else nullcontext():
            if asked and (stored := stored_answer(asked)):
                return replay(stored, asked)

            def answer(results: list[Any]) -> Json:
                return _answer(request, outcomes, results)

            results = place_orders(
                account_id=self.principal.account_id,
                actor=self.actor,
                wanted=[_wanted(one) for one in outcomes if isinstance(one, dict)],
                render=lambda outcome: _result(request, outcome),
                retry=BulkRetry(asked, lambda results: answer_row(self, asked, answer(results)))
                if asked
                else None,
            )
            return answer(results)

    # Not by the decorator, which would make one transaction of all of it.
    post.is_idempotent = True  # type: ignore[attr-defined]  # tests walk every POST for it


def _wanted(body: dict[str, Any]) -> NewOrder:
    return NewOrder(**{**body, "items": Asked.of(body["items"])})


def _answer(request: Request, outcomes: list[Any], results: list[Any]) -> Json:
    """The results of the orders that were looked into, between those that made no sense."""
    rest = iter(results)
    complete = [
        next(rest) if isinstance(outcome, dict) else _problem(request, outcome)
        for outcome in outcomes
    ]
    placed = sum(one["status"] == 201 for one in complete)
    return Json({"placed": placed, "refused": len(complete) - placed, "results": complete})


def _result(request: Request, outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Placed):
        return {"status": 201, "order": own_order_object(*outcome)}
    return _problem(request, outcome)


def _problem(request: Request, error: Exception) -> dict[str, Any]:
    """What `POST /orders` answers to this error."""
    answer = exception_handler(error, {"request": request})
    if answer is None:
        raise error
    return {"status": answer.status_code, "problem": orjson.loads(answer.content)}
