"""The erasure of a customer."""

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from apps.common.api.idempotency import idempotent
from apps.common.api.responses import Json
from apps.common.api.serializers import parse_body
from apps.common.api.views import ApiView
from apps.crm import selectors
from apps.crm.api.serializers import ErasureInput
from apps.crm.errors import CustomerNotFound
from apps.crm.events import CUSTOMER, customer_object
from apps.crm.services import erasing

_BOTH = OpenApiExample("Here and in HubSpot", value={"delete_contact": True}, request_only=True)


@extend_schema(tags=["Customers"])
class CustomerErasureView(ApiView):
    """What is left of a customer."""

    scope = "customers"
    not_found = CustomerNotFound("There is no such customer.")

    @extend_schema(
        operation_id="erase_customer",
        summary="Erase a customer's personal data",
        description=(
            "For good, and at once: e-mail, names, properties and `external_id` are gone, and the customer "
            "is answered with 404 from now on. `customer.erased` tells the others, which erase the "
            "addresses of its orders. Events and remembered answers about it are blanked within seconds; "
            "an event not delivered yet is delivered blanked. With `delete_contact` HubSpot deletes its "
            "contact for good, as soon as it can be asked; without, what HubSpot has stays."
        ),
        request=ErasureInput,
        responses={200: CUSTOMER},
        examples=[_BOTH],
    )
    @idempotent
    def post(self, request: Request, customer_id: UUID) -> HttpResponse:
        account_id = self.principal.account_id
        left = erasing.erase_customer(
            account_id=account_id,
            customer_id=customer_id,
            delete_contact=parse_body(ErasureInput, request)["delete_contact"],
            actor=self.actor,
        )
        return Json(customer_object(left, left.contact, selectors.standing(account_id)))
