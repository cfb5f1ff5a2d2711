"""Customers, and how far HubSpot is with them."""

import zlib
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from apps.common.api.conditional import etag, if_match, not_modified
from apps.common.api.idempotency import idempotent
from apps.common.api.openapi import refusal
from apps.common.api.pagination import PageQuery, keyset_page
from apps.common.api.responses import Json
from apps.common.api.serializers import NoBody, parse_body, parse_query
from apps.common.api.views import ApiView
from apps.common.schemas import page
from apps.crm import selectors
from apps.crm.api.plain import plain_changes, plain_customer
from apps.crm.api.representations import ATTEMPT, attempt_object
from apps.crm.api.serializers import (
    CustomerChanges,
    CustomerInput,
    CustomerReplacement,
    CustomersQuery,
    ExternalId,
)
from apps.crm.errors import CustomerNotFound
from apps.crm.events import CUSTOMER, Standing, crm_object, customer_object
from apps.crm.models import Customer
from apps.crm.services import customers
from apps.crm.services.writing import Known

_ADA = OpenApiExample(
    "Ada",
    value={
        "email": "ada@example.com",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "external_id": "customer-1",
        "properties": {"tier": "gold"},
    },
    request_only=True,
)
_MOVED = OpenApiExample(
    "Another address", value={"email": "ada@lovelace.example"}, request_only=True
)
_PROPERTIES = OpenApiExample(
    "One property changed, one removed",
    value={"properties": {"tier": "platinum", "newsletter": None}},
    request_only=True,
)
_ADA_PUT = OpenApiExample(
    "Ada as she is to be",
    value={"email": "ada@example.com", "first_name": "Ada", "last_name": "King"},
    request_only=True,
)
_EXTERNAL_ID = OpenApiParameter(
    "external_id",
    OpenApiTypes.STR,
    OpenApiParameter.PATH,
    examples=[OpenApiExample("Ada's", value="customer-1")],
)
_EMAIL_TAKEN = refusal("A taken e-mail", customers.email_taken("ada@example.com"))
_ID_TAKEN = refusal("A taken external_id", customers.external_id_taken("customer-1"))
_NOT_FOUND = CustomerNotFound("There is no such customer.")


@extend_schema(tags=["Customers"])
class CustomersView(ApiView):
    """The customers of the caller's account."""

    scope = "customers"

    @extend_schema(
        operation_id="list_customers",
        summary="List customers",
        parameters=[CustomersQuery],
        responses={200: page(CUSTOMER)},
    )
    def get(self, request: Request) -> HttpResponse:
        query = parse_query(CustomersQuery, request)
        filters = {name: query[name] for name in query.keys() - {"limit", "cursor"}}
        account_id = self.principal.account_id
        rows = selectors.customers(account_id, **filters)
        render = partial(_object, standing=selectors.standing(account_id))
        return keyset_page(request, rows, render, query)

    @extend_schema(
        operation_id="create_customer",
        summary="Make a customer",
        description=(
            "Answered from the local write alone; `crm` tells how far HubSpot is, which is told of it "
            "within seconds, together with up to 99 others."
        ),
        request=CustomerInput,
        responses={201: CUSTOMER},
        examples=[_ADA, _EMAIL_TAKEN, _ID_TAKEN],
    )
    @idempotent
    def post(self, request: Request) -> HttpResponse:
        made = customers.create_customer(
            account_id=self.principal.account_id,
            fields=plain_customer(request.data) or parse_body(CustomerInput, request),
            actor=self.actor,
        )
        return _created(made, f"{request.path}/{made.customer.id}")


@extend_schema(tags=["Customers"])
class CustomerView(ApiView):
    """One customer."""

    scope = "customers"
    not_found = _NOT_FOUND

    @extend_schema(operation_id="get_customer", summary="Get a customer", responses={200: CUSTOMER})
    def get(self, request: Request, customer_id: UUID) -> HttpResponse:
        customer = selectors.customer(self.principal.account_id, customer_id)
        standing = selectors.standing(customer.account_id)
        tag = _tag(customer, standing)
        return not_modified(request, tag) or _tagged(customer, standing, tag)

    @extend_schema(
        operation_id="update_customer",
        summary="Change a customer",
        description=(
            "Answered from the local write alone. `properties` are merged with those there are. After "
            "a change of the e-mail the contact is found by the one that HubSpot knows."
        ),
        request=CustomerChanges,
        responses={200: CUSTOMER},
        examples=[_MOVED, _PROPERTIES, _EMAIL_TAKEN],
    )
    def patch(self, request: Request, customer_id: UUID) -> HttpResponse:
        changes = plain_changes(request.data)
        if changes is None:
            changes = self._parsed(request, customer_id)
        changed = customers.update_customer(
            account_id=self.principal.account_id,
            customer_id=customer_id,
            changes=changes,
            actor=self.actor,
            expected=if_match(request),
        )
        return _answer(changed)

    def _parsed(self, request: Request, customer_id: UUID) -> dict[str, Any]:
        account_id = self.principal.account_id
        present = selectors.customer(account_id, customer_id)
        current = _object(present, selectors.standing(account_id))
        return parse_body(CustomerChanges, request, current=current, partial=True)


@extend_schema(tags=["Customers"])
class CustomerByExternalIdView(ApiView):
    """The customer that the caller's own programs call so."""

    scope = "customers"

    @extend_schema(
        operation_id="put_customer",
        summary="Make or replace the customer of an external_id",
        description="201 when it was made, 200 when it was there; what is left out is emptied.",
        parameters=[_EXTERNAL_ID],
        request=CustomerReplacement,
        responses={200: CUSTOMER, 201: CUSTOMER},
        examples=[_ADA_PUT, _EMAIL_TAKEN],
    )
    def put(self, request: Request, external_id: str) -> HttpResponse:
        account_id = self.principal.account_id
        external_id = _checked(external_id)
        present = selectors.customers(account_id, external_id=external_id).first()
        current: dict[str, Any] = {"external_id": external_id}
        if present is not None:
            current = _object(present, selectors.standing(account_id))
        changed, created = customers.put_customer(
            account_id=account_id,
            external_id=external_id,
            fields=parse_body(CustomerReplacement, request, current=current),
            actor=self.actor,
            expected=if_match(request),
        )
        if created:
            return _created(changed, f"/api/v1/customers/{changed.customer.id}")
        return _answer(changed)


@extend_schema(tags=["Customers"])
class CustomerSyncView(ApiView):
    """What a customer's way to HubSpot has been."""

    scope = "customers"
    not_found = _NOT_FOUND

    @extend_schema(
        operation_id="list_sync_attempts",
        summary="List the attempts to sync a customer",
        description="What each call to HubSpot in the last 30 days meant for it, newest first.",
        parameters=[PageQuery],
        responses={200: page(ATTEMPT)},
    )
    def get(self, request: Request, customer_id: UUID) -> HttpResponse:
        query = parse_query(PageQuery, request)
        rows = selectors.attempts(self.principal.account_id, customer_id)
        return keyset_page(request, rows, attempt_object, query)

    @extend_schema(
        operation_id="sync_customer",
        summary="Sync a customer again, now",
        description=(
            "Everything mapped of it is sent again at once, whether it changed or not, also after "
            "HubSpot refused it."
        ),
        request=NoBody,
        responses={202: CUSTOMER},
    )
    @idempotent
    def post(self, request: Request, customer_id: UUID) -> HttpResponse:
        parse_body(NoBody, request)
        answer = _answer(
            customers.request_sync(account_id=self.principal.account_id, customer_id=customer_id)
        )
        answer.status_code = 202
        return answer


def _object(customer: Customer, standing: Standing) -> dict[str, Any]:
    return customer_object(customer, customer.contact, standing)


def _answer(known: Known) -> Json:
    return _tagged(*known, _tag(*known))


def _tagged(customer: Customer, standing: Standing, tag: str) -> Json:
    return Json(_object(customer, standing), headers={"ETag": tag})


def _tag(customer: Customer, standing: Standing) -> str:
    """Another one also when HubSpot's part of the customer changes."""
    derived = zlib.crc32(orjson.dumps(crm_object(customer.contact, standing)))
    return etag(customer.version, format(derived, "x"))


def _created(known: Known, location: str) -> Json:
    answer = _answer(known)
    answer.status_code = 201
    answer["Location"] = location
    return answer


def _checked(external_id: str) -> str:
    """The external_id of a path, by the same rules as one in a body."""
    field = ExternalId()
    try:
        checked: str = field.run_validation(external_id)
    except ValidationError as error:
        raise ValidationError({"external_id": error.detail}) from None
    return checked
