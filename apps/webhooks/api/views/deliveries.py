"""The log of an endpoint, and sending again."""

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from apps.common.api.conditional import etag, not_modified
from apps.common.api.idempotency import idempotent
from apps.common.api.openapi import refusal
from apps.common.api.pagination import keyset_page
from apps.common.api.responses import Json
from apps.common.api.serializers import NoBody, parse_body, parse_query
from apps.common.api.views import ApiView
from apps.common.schemas import page
from apps.webhooks import selectors, services
from apps.webhooks.api.representations import (
    DELIVERY,
    DELIVERY_WITH_ATTEMPTS,
    attempt_object,
    delivery_object,
)
from apps.webhooks.api.serializers import DeliveriesQuery
from apps.webhooks.api.views.endpoints import NO_ENDPOINT
from apps.webhooks.errors import DeliveryNotFound, EndpointDeleted

_DELETED = refusal(
    "A deleted endpoint", EndpointDeleted("The endpoint of this delivery has been deleted.")
)
_NO_DELIVERY = DeliveryNotFound("There is no such delivery.")


@extend_schema(tags=["Webhooks"])
class EndpointDeliveriesView(ApiView):
    """The log of an endpoint."""

    scope = "webhooks"
    not_found = NO_ENDPOINT

    @extend_schema(
        operation_id="list_deliveries",
        summary="List an endpoint's deliveries",
        description="Newest first, kept for 30 days.",
        parameters=[DeliveriesQuery],
        responses={200: page(DELIVERY)},
    )
    def get(self, request: Request, endpoint_id: UUID) -> HttpResponse:
        query = parse_query(DeliveriesQuery, request)
        rows = selectors.deliveries(
            self.principal.account_id,
            endpoint_id,
            status=query.get("status"),
            event_type=query.get("event_type"),
            replay_id=query.get("replay_id"),
            since=query.get("since"),
        )
        return keyset_page(request, rows, delivery_object, query)


@extend_schema(tags=["Webhooks"])
class DeliveryView(ApiView):
    """One delivery."""

    scope = "webhooks"
    not_found = _NO_DELIVERY

    @extend_schema(
        operation_id="get_delivery",
        summary="Get a delivery with its attempts",
        responses={200: DELIVERY_WITH_ATTEMPTS},
    )
    def get(self, request: Request, delivery_id: UUID) -> HttpResponse:
        delivery = selectors.delivery(self.principal.account_id, delivery_id)
        shown = delivery_object(delivery)
        tag = etag(delivery.attempt_count, delivery.status, shown["next_attempt_at"])
        return not_modified(request, tag) or Json(
            {**shown, "attempts": [attempt_object(one) for one in selectors.attempts(delivery)]},
            headers={"ETag": tag},
        )


@extend_schema(tags=["Webhooks"])
class RedeliverView(ApiView):
    """Sending again."""

    scope = "webhooks"
    not_found = _NO_DELIVERY

    @extend_schema(
        operation_id="redeliver",
        summary="Send a delivery again",
        description=(
            "In any state, with the same `webhook-id` and body, and the retry schedule from its start. "
            "To a disabled endpoint it is sent once that is enabled."
        ),
        request=NoBody,
        examples=[_DELETED],
        responses={202: DELIVERY},
    )
    @idempotent
    def post(self, request: Request, delivery_id: UUID) -> HttpResponse:
        parse_body(NoBody, request)
        delivery = services.redeliver(account_id=self.principal.account_id, delivery_id=delivery_id)
        return Json(delivery_object(delivery), status=202)
