"""Who may see whose deals."""

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from apps.common.api.idempotency import idempotent
from apps.common.api.pagination import PageQuery, keyset_page
from apps.common.api.responses import Json, NoContent
from apps.common.api.serializers import parse_body, parse_query
from apps.common.api.views import ApiView
from apps.common.schemas import page
from apps.deals.api.serializers.authorizations import AuthorizationInput
from apps.deals.api.windows import window_of
from apps.deals.errors import AuthorizationNotFound
from apps.deals.events.authorizations import AUTHORIZATION, authorization_object
from apps.deals.selectors import authorizations as selectors
from apps.deals.services import authorizations as services

_BUYER = OpenApiExample("The demo buyer", value={"buyer": "buyer"}, request_only=True)


@extend_schema(tags=["Authorizations"])
class AuthorizationsView(ApiView):
    """Who sees whose deals."""

    scope = "deals"

    @extend_schema(
        operation_id="list_authorizations",
        summary="List authorizations",
        description="Those that the caller granted as a seller and those it received as a buyer.",
        parameters=[PageQuery],
        responses={200: page(AUTHORIZATION)},
    )
    def get(self, request: Request) -> HttpResponse:
        query = parse_query(PageQuery, request)
        found = selectors.authorizations(self.principal.account_id, window_of(query))
        return keyset_page(request, found, authorization_object, query)

    @extend_schema(
        operation_id="grant_authorization",
        summary="Authorize a buyer",
        description=(
            "From now on the buyer sees the caller's deals and hears of their changes. 200 with the "
            "present authorization when the buyer has one already."
        ),
        request=AuthorizationInput,
        examples=[_BUYER],
        responses={201: AUTHORIZATION, 200: AUTHORIZATION},
    )
    @idempotent
    def post(self, request: Request) -> HttpResponse:
        body = parse_body(AuthorizationInput, request)
        granted, is_new = services.grant_authorization(
            seller_id=self.principal.account_id, buyer=body["buyer"], actor=self.actor
        )
        return Json(authorization_object(granted), status=201 if is_new else 200)


@extend_schema(tags=["Authorizations"])
class AuthorizationView(ApiView):
    """One authorization."""

    scope = "deals"
    not_found = AuthorizationNotFound("There is no such authorization granted by you.")
    has_versions = False

    @extend_schema(
        operation_id="revoke_authorization",
        summary="Revoke an authorization",
        description=(
            "By the seller that granted it. At once the buyer sees none of the seller's deals any "
            "more, and webhooks that have not been sent yet are not sent."
        ),
        responses={204: None},
    )
    def delete(self, request: Request, authorization_id: UUID) -> HttpResponse:
        services.revoke_authorization(
            seller_id=self.principal.account_id,
            authorization_id=authorization_id,
            actor=self.actor,
        )
        return NoContent()
