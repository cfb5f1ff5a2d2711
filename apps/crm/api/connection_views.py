"""The account's connection to HubSpot."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from apps.common.api.conditional import etag, if_match, not_modified
from apps.common.api.idempotency import idempotent
from apps.common.api.openapi import refusal
from apps.common.api.responses import Json, NoContent
from apps.common.api.serializers import NoBody, parse_body
from apps.common.api.views import ApiView
from apps.crm import selectors
from apps.crm.api.representations import CONNECTION, connection_object
from apps.crm.api.serializers import ConnectionInput
from apps.crm.errors import ConnectionNotFound
from apps.crm.models import Connection
from apps.crm.services import connections
from apps.crm.services.checking import request_check

_OWN = OpenApiExample(
    "An own token, and a property of its own",
    value={
        "access_token": "pat-eu1-11111111-2222-3333-4444-555555555555",
        "missing_contact": "create",
        "mapping": {
            "first_name": "firstname",
            "last_name": "lastname",
            "properties.tier": "customer_tier",
        },
        "send_orders": True,
        "send_deals": True,
        "deal_stages": {"pipeline": "default", "won": "closedwon", "lost": "closedlost"},
    },
    request_only=True,
)
_NONE = refusal(
    "No connection",
    ConnectionNotFound("There is no connection to HubSpot; PUT /crm/connection makes it."),
)


@extend_schema(tags=["Customers"])
class ConnectionView(ApiView):
    """Which HubSpot the caller's customers go to, and how."""

    scope = "customers"
    is_object = True

    @extend_schema(
        operation_id="get_crm_connection",
        summary="Get the connection to HubSpot",
        description=(
            "The account's own, or the installation's default. The token is never shown; `hubspot` tells "
            "whether it works and what is left of its limits."
        ),
        responses={200: CONNECTION},
        examples=[_NONE],
    )
    def get(self, request: Request) -> HttpResponse:
        answer = _answer(selectors.connection_in_force(self.principal.account_id))
        return not_modified(request, answer["ETag"]) or answer

    @extend_schema(
        operation_id="put_crm_connection",
        summary="Connect to HubSpot",
        description=(
            "When token, mapping or `missing_contact` change, all customers are looked at again; what "
            "HubSpot has already is not sent. A pause after 401 or 403 from HubSpot ends."
        ),
        request=ConnectionInput,
        responses={200: CONNECTION},
        examples=[_OWN],
    )
    def put(self, request: Request) -> HttpResponse:
        account_id = self.principal.account_id
        present = selectors.connection(account_id) or Connection(account_id=account_id)
        current = _shown(present)
        connection = connections.put_connection(
            account_id=account_id,
            fields=parse_body(ConnectionInput, request, current=current),
            expected=if_match(request),
        )
        return _answer(connection)

    @extend_schema(
        operation_id="delete_crm_connection",
        summary="Disconnect from HubSpot",
        description=(
            "The token is forgotten. The installation's token, if it has one, holds from now on; else "
            "customers wait here as `not_configured`. What HubSpot has stays there."
        ),
        responses={204: None},
        examples=[_NONE],
    )
    def delete(self, request: Request) -> HttpResponse:
        connections.delete_connection(
            account_id=self.principal.account_id, expected=if_match(request)
        )
        return NoContent()


@extend_schema(tags=["Customers"])
class ConnectionCheckView(ApiView):
    """The mapping beside HubSpot's list of properties."""

    scope = "customers"

    @extend_schema(
        operation_id="check_crm_connection",
        summary="Check the mapping",
        description=(
            "Compares all that is written to HubSpot with its own list of properties of contacts and "
            "deals, within seconds while HubSpot answers: `mapping_check` of the connection tells. It is "
            "done by itself after every PUT; ask when something was changed in HubSpot."
        ),
        request=NoBody,
        responses={202: CONNECTION},
        examples=[_NONE],
    )
    @idempotent
    def post(self, request: Request) -> HttpResponse:
        parse_body(NoBody, request)
        account_id = self.principal.account_id
        request_check(account_id=account_id)
        return Json(_shown(selectors.connection_in_force(account_id)), status=202)


def _answer(connection: Connection) -> Json:
    data = _shown(connection)
    hubspot, check = data["hubspot"], data["mapping_check"]
    derived = [
        *(hubspot[name] for name in ("status", "calls", "changed")),
        *(check[name] for name in ("checked_at", "pending")),
        bool(hubspot["deals_error"]),
        bool(check["error"]),
    ]
    return Json(data, headers={"ETag": etag(data["version"], *derived)})


def _shown(connection: Connection) -> dict[str, Any]:
    return connection_object(
        connection,
        selectors.standing_of(connection.token_digest),
        selectors.mapping_check(connection.account_id),
    )
