"""Deals."""

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from apps.common.api.conditional import etag, if_match, not_modified
from apps.common.api.idempotency import answer_row, answered_first, replay, retryable
from apps.common.api.openapi import refusal
from apps.common.api.pagination import keyset_page
from apps.common.api.responses import Json, NoContent
from apps.common.api.serializers import parse_body, parse_query
from apps.common.api.views import ApiView
from apps.common.schemas import page
from apps.deals.api.plain import plain_deal
from apps.deals.api.serializers.deals import DealInput, DealReplacement, DealsQuery
from apps.deals.api.windows import window_of
from apps.deals.enums import DealStatus
from apps.deals.errors import DealClosed, DealNotFound
from apps.deals.events.deals import DEAL, deal_object
from apps.deals.models import Deal
from apps.deals.selectors import deals as selectors
from apps.deals.services import deals as services
from apps.deals.services.posting import Answered, Retry

_AUCTIONED = OpenApiExample(
    "An auction",
    value={
        "name": "A signed print",
        "total_price": 100000,
        "currency": "EUR",
        "items": [{"name": "Print, framed", "price": 100000}],
        "auction": {
            "ends_at": "2030-01-31T12:00:00Z",
            "minimum": 10000,
            "increment": 1000,
            "reserve": 50000,
            "buy_now": 150000,
            "extension_seconds": 120,
        },
    },
    request_only=True,
)
_CHAIRS = OpenApiExample(
    "Office chairs, 10 % off",
    value={
        "name": "12 office chairs",
        "total_price": 120000,
        "currency": "EUR",
        "discount": {"type": "percentage", "amount": 10},
        "items": [
            {"name": "Office chair, grey", "price": 10000},
            {"name": "Delivery", "price": 0},
        ],
    },
    request_only=True,
)
_REPLACED = OpenApiExample(
    "Other items, another price",
    value={
        "name": "10 office chairs",
        "total_price": 95000,
        "currency": "EUR",
        "discount": {"type": "flat", "amount": 5000},
        "items": [{"name": "Office chair, black", "price": 9500}],
    },
    request_only=True,
)
_LOWERED = OpenApiExample("A lower price", value={"total_price": 99000}, request_only=True)
_SOLD = OpenApiExample("Sold elsewhere", value={"status": "sold"}, request_only=True)
_NOT_FOUND = DealNotFound("There is no such deal, or your account may not see it.")
_CLOSED = refusal(
    "A deal that is over",
    DealClosed("The deal is sold and stays as it is. Post another one instead."),
)


@extend_schema(tags=["Deals"])
class DealsView(ApiView):
    """The deals of an account and of the sellers that authorise it."""

    scope = "deals"

    @extend_schema(
        operation_id="list_deals",
        summary="List deals",
        description=(
            "A seller's own and those of every seller that authorises the caller now, in any status, "
            "newest first. A seller that is unknown or has not authorised the caller matches nothing."
        ),
        parameters=[DealsQuery],
        responses={200: page(DEAL)},
    )
    def get(self, request: Request) -> HttpResponse:
        query = parse_query(DealsQuery, request)
        deals = selectors.visible_deals(
            self.principal.account_id, filters=query, window=window_of(query)
        )
        render = partial(deal_object, viewer=self.principal.account_id)
        return keyset_page(request, deals, render, query)

    @extend_schema(
        operation_id="create_deal",
        summary="Publish a deal",
        description=(
            "The caller is the seller; every buyer that it authorised sees the deal at once. "
            "`final_price` is `total_price` less the discount, half a minor unit rounded up."
        ),
        request=DealInput,
        examples=[_CHAIRS, _AUCTIONED],
        responses={201: DEAL},
    )
    @answered_first
    def post(self, request: Request) -> HttpResponse:
        asked = retryable(self, request)
        terms = plain_deal(request.data) or parse_body(DealInput, request)
        seller_id, actor = self.principal.account_id, self.actor
        if asked is None:
            deal = services.create_deal(seller_id=seller_id, terms=terms, actor=actor)
            return _posted(request, deal_object(deal, seller_id))
        retry = Retry(asked, lambda shown: answer_row(self, asked, _posted(request, shown)))
        made = services.create_deal_once(seller_id=seller_id, terms=terms, actor=actor, retry=retry)
        if isinstance(made, Answered):
            return replay(made.stored, made.asked)
        return _posted(request, deal_object(made, seller_id))

    # Not by the decorator, which would open a transaction: the answer is stored by the statement that
    # stores the deal.
    post.is_idempotent = True  # type: ignore[attr-defined]  # tests walk every POST for it


@extend_schema(tags=["Deals"])
class DealView(ApiView):
    """One deal."""

    scope = "deals"
    not_found = _NOT_FOUND

    @extend_schema(
        operation_id="get_deal",
        summary="Get a deal",
        description=(
            "Seller and authorised buyers see it in any status, sold and withdrawn too. Thresholds "
            "and the reserve of an auction are shown to the seller alone."
        ),
        responses={200: DEAL},
    )
    def get(self, request: Request, deal_id: UUID) -> HttpResponse:
        account_id = self.principal.account_id
        present = not_modified(request, _tag(selectors.visible_state(account_id, deal_id)))
        return present or _answer(selectors.visible_deal(account_id, deal_id), account_id)

    @extend_schema(
        operation_id="replace_deal",
        summary="Replace a deal",
        description=(
            "Its items become those sent: one with an `id` is updated and keeps it, one without is "
            "added, one left out is deleted. 409 `deal_closed` when it is sold or withdrawn. When "
            "nothing differs, nothing changes, the version included."
        ),
        request=DealReplacement,
        examples=[_REPLACED, _CLOSED],
        responses={200: DEAL},
    )
    def put(self, request: Request, deal_id: UUID) -> HttpResponse:
        return self._edit(request, deal_id, partial=False)

    @extend_schema(
        operation_id="change_deal",
        summary="Change a deal",
        description=(
            "What is left out stays as it is; `items` replace all items, as in PUT. `status` `sold` "
            "records a sale made elsewhere, `withdrawn` does what DELETE does; either is final and "
            "rejects the open bids. 409 `deal_has_bids` for the currency, and for everything of an "
            "auction, while there are open bids."
        ),
        request=DealReplacement,
        examples=[_LOWERED, _SOLD, _CLOSED],
        responses={200: DEAL},
    )
    def patch(self, request: Request, deal_id: UUID) -> HttpResponse:
        return self._edit(request, deal_id, partial=True)

    @extend_schema(
        operation_id="withdraw_deal",
        summary="Withdraw a deal",
        description=(
            "It stays readable as `withdrawn`, for its buyers too, who get `deal.withdrawn`. "
            "409 `deal_closed` when it is sold or withdrawn already."
        ),
        examples=[_CLOSED],
        responses={204: None},
    )
    def delete(self, request: Request, deal_id: UUID) -> HttpResponse:
        services.edit_deal(
            seller_id=self.principal.account_id,
            deal_id=deal_id,
            changes={"status": DealStatus.WITHDRAWN},
            actor=self.actor,
            expected=if_match(request),
        )
        return NoContent()

    def _edit(self, request: Request, deal_id: UUID, *, partial: bool) -> HttpResponse:
        present = selectors.own_deal(self.principal.account_id, deal_id)
        expected = if_match(request)
        # Before the body is read: one made from an older version is stale rather than invalid.
        services.require_editable(present, expected)
        changes = parse_body(
            DealReplacement,
            request,
            current=deal_object(present, present.seller_id),
            partial=partial,
        )
        deal = services.edit_deal(
            seller_id=present.seller_id,
            deal_id=deal_id,
            changes=changes,
            actor=self.actor,
            expected=expected,
        )
        return _answer(deal, deal.seller_id)


def _answer(deal: Deal, viewer: UUID) -> Json:
    return Json(deal_object(deal, viewer), headers={"ETag": _tag(deal)})


def _posted(request: Request, shown: Mapping[str, Any]) -> Json:
    headers = {"Location": f"{request.path}/{shown['id']}", "ETag": etag(shown["version"])}
    return Json(shown, status=201, headers=headers)


def _tag(deal: Deal) -> str:
    """Bids change what is shown of a deal without a change of the deal itself."""
    derived = () if deal.best_bid is None else (deal.best_bid,)
    return etag(deal.version, *derived)
