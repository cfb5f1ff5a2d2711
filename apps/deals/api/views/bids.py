"""Bids: placing them, reading them, answering them."""

from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from apps.common.api.conditional import etag, not_modified
from apps.common.api.idempotency import idempotent
from apps.common.api.openapi import refusal
from apps.common.api.pagination import keyset_page
from apps.common.api.responses import Json
from apps.common.api.serializers import NoBody, parse_body, parse_query
from apps.common.api.views import ApiView
from apps.common.schemas import page
from apps.deals.api.representations.bids import REJECTED_BIDS, rejected_bids_object
from apps.deals.api.serializers.bids import BidInput, BidsQuery, CounterInput, RejectionInput
from apps.deals.errors import (
    AuctionEnded,
    AuctionRunning,
    BidNotActive,
    BidNotFound,
    BidTooLow,
    DealClosed,
    DealNotFound,
    OwnDeal,
)
from apps.deals.events.bids import BID, bid_object
from apps.deals.models import Bid
from apps.deals.selectors import bids as selectors
from apps.deals.services import bids as services

_DEAL_NOT_FOUND = DealNotFound("There is no such deal, or your account may not see it.")
_NOT_FOUND = BidNotFound(selectors.NOT_FOUND)
_BID = OpenApiExample("A bid", value={"amount": 95000}, request_only=True)
_BID_FOR_A_WEEK = OpenApiExample(
    "A bid that lapses by itself",
    value={"amount": 95000, "expires_at": "2030-01-31T12:00:00Z"},
    request_only=True,
)
_PROXY = OpenApiExample(
    "In an auction, with a maximum", value={"amount": 50000, "maximum": 95000}, request_only=True
)
_COUNTER = OpenApiExample("Another price", value={"amount": 99000}, request_only=True)
_BELOW = OpenApiExample("All low ones", value={"below": 80000}, request_only=True)
_CLOSED = refusal(
    "A deal that is over", DealClosed("The deal is sold; nobody can bid on it any more.")
)
_NOT_ACTIVE = refusal(
    "A bid that is over", BidNotActive("The bid is superseded and cannot become accepted.")
)
_AUCTION = refusal(
    "In an auction", AuctionRunning("A bid in an auction is binding, and answered by its end.")
)
_REFUSED_BIDS = [
    _CLOSED,
    refusal("Your own deal", OwnDeal("The deal is your own; you cannot bid on it.")),
    refusal("Too little for the auction", BidTooLow("Bid 51000 at the least.")),
    refusal("Too late", AuctionEnded("The auction has ended; its result is about to be told.")),
]


class _BidsView(ApiView):
    """What views that show bids have in common."""

    def page_of(self, request: Request, bids: "QuerySet[Bid]", query: dict[str, Any]) -> Json:
        render = partial(bid_object, viewer=self.principal.account_id)
        return keyset_page(request, bids, render, query)

    def answer(self, bid: Bid, *, status: int = 200, headers: dict[str, str] | None = None) -> Json:
        return Json(
            bid_object(bid, self.principal.account_id),
            status=status,
            headers={"ETag": _tag(bid), **(headers or {})},
        )


@extend_schema(tags=["Bids"])
class DealBidsView(_BidsView):
    """The bids on a deal."""

    scope = "deals"
    method_scopes = {"POST": "bids:write"}
    not_found = _DEAL_NOT_FOUND

    @extend_schema(
        operation_id="list_bids_on_deal",
        summary="List the bids on a deal",
        description=(
            "Newest first: the seller sees all of them, a buyer its own. What the best one is at, "
            "though not whose it is, every buyer reads in `best_bid` of the deal."
        ),
        parameters=[BidsQuery],
        responses={200: page(BID)},
    )
    def get(self, request: Request, deal_id: UUID) -> HttpResponse:
        query = parse_query(BidsQuery, request)
        found = selectors.bids_on_deal(self.principal.account_id, deal_id, _filters(query))
        return self.page_of(request, found, query)

    @extend_schema(
        operation_id="place_bid",
        summary="Bid on a deal",
        description=(
            "For buyers that the seller authorises. A new bid takes the place of the caller's "
            "earlier one, which becomes `superseded`. The answer's `status` may be `accepted` at "
            "once, when the bid takes the seller's counter, reaches the seller's threshold or buys "
            "now in an auction; or `rejected`. In an auction the bid must be above the present "
            "price by the increment, its `maximum` at the least; the highest maximum leads and "
            "pays an increment more than the second highest."
        ),
        request=BidInput,
        examples=[_BID, _BID_FOR_A_WEEK, _PROXY, *_REFUSED_BIDS],
        responses={201: BID},
    )
    @idempotent
    def post(self, request: Request, deal_id: UUID) -> HttpResponse:
        asked = parse_body(BidInput, request)
        bid = services.place_bid(
            bidder_id=self.principal.account_id, deal_id=deal_id, actor=self.actor, **asked
        )
        root = request.path.partition("/deals/")[0]
        return self.answer(bid, status=201, headers={"Location": f"{root}/bids/{bid.id}"})


@extend_schema(tags=["Bids"])
class DealBidsRejectionView(ApiView):
    """Refusing many bids at once."""

    scope = "deals"
    not_found = _DEAL_NOT_FOUND

    @extend_schema(
        operation_id="reject_bids",
        summary="Reject many bids",
        description=(
            "By the seller: those of `ids` that are active or countered, or all active ones `below` "
            "an amount. Bids that are over already are left alone."
        ),
        request=RejectionInput,
        examples=[_BELOW, _CLOSED],
        responses={200: REJECTED_BIDS},
    )
    @idempotent
    def post(self, request: Request, deal_id: UUID) -> HttpResponse:
        asked = parse_body(RejectionInput, request)
        rejected = services.reject_bids(
            seller_id=self.principal.account_id, deal_id=deal_id, actor=self.actor, **asked
        )
        return Json(rejected_bids_object(rejected))


@extend_schema(tags=["Bids"])
class BidsView(_BidsView):
    """The caller's bids."""

    scope = "bids"

    @extend_schema(
        operation_id="list_bids",
        summary="List your bids",
        description="Those that the caller placed, on deals that it may see now, newest first.",
        parameters=[BidsQuery],
        responses={200: page(BID)},
    )
    def get(self, request: Request) -> HttpResponse:
        query = parse_query(BidsQuery, request)
        found = selectors.own_bids(self.principal.account_id, _filters(query))
        return self.page_of(request, found, query)


@extend_schema(tags=["Bids"])
class BidView(_BidsView):
    """One bid."""

    scope = "deals"
    not_found = _NOT_FOUND

    @extend_schema(
        operation_id="get_bid",
        summary="Get a bid",
        description="For its bidder and the seller.",
        responses={200: BID},
    )
    def get(self, request: Request, bid_id: UUID) -> HttpResponse:
        bid = selectors.visible_bid(self.principal.account_id, bid_id)
        return not_modified(request, _tag(bid)) or self.answer(bid)


@extend_schema(tags=["Bids"])
class BidAcceptanceView(_BidsView):
    """Selling to a bid."""

    scope = "deals"
    not_found = _NOT_FOUND

    @extend_schema(
        operation_id="accept_bid",
        summary="Accept a bid",
        description=(
            "By the seller: sells the deal for the bid's amount, rejects the other bids and issues "
            "the invoice, all at once. Of however many that accept at the same time, one "
            "succeeds. In an auction only the leading bid can be accepted before the end."
        ),
        request=NoBody,
        examples=[_NOT_ACTIVE],
        responses={200: BID},
    )
    @idempotent
    def post(self, request: Request, bid_id: UUID) -> HttpResponse:
        parse_body(NoBody, request)
        bid = services.accept_bid(
            seller_id=self.principal.account_id, bid_id=bid_id, actor=self.actor
        )
        return self.answer(bid)


@extend_schema(tags=["Bids"])
class BidRejectionView(_BidsView):
    """Refusing a bid."""

    scope = "deals"
    not_found = _NOT_FOUND

    @extend_schema(
        operation_id="reject_bid",
        summary="Reject a bid",
        description="By the seller; of a countered bid, it takes the counter back.",
        request=NoBody,
        examples=[_NOT_ACTIVE],
        responses={200: BID},
    )
    @idempotent
    def post(self, request: Request, bid_id: UUID) -> HttpResponse:
        parse_body(NoBody, request)
        bid = services.reject_bid(
            seller_id=self.principal.account_id, bid_id=bid_id, actor=self.actor
        )
        return self.answer(bid)


@extend_schema(tags=["Bids"])
class BidCounterView(_BidsView):
    """Answering a bid with another price."""

    scope = "deals"
    not_found = _NOT_FOUND

    @extend_schema(
        operation_id="counter_bid",
        summary="Counter a bid",
        description=(
            "By the seller. The bidder takes the counter by bidding its amount (or more), which is "
            "accepted at once; declines it by withdrawing the bid; goes on by bidding something "
            "else. The seller takes it back by rejecting the bid. Not in auctions."
        ),
        request=CounterInput,
        examples=[_COUNTER, _NOT_ACTIVE, _AUCTION],
        responses={200: BID},
    )
    @idempotent
    def post(self, request: Request, bid_id: UUID) -> HttpResponse:
        asked = parse_body(CounterInput, request)
        bid = services.counter_bid(
            seller_id=self.principal.account_id, bid_id=bid_id, actor=self.actor, **asked
        )
        return self.answer(bid)


@extend_schema(tags=["Bids"])
class BidWithdrawalView(_BidsView):
    """Taking a bid back."""

    scope = "bids"
    not_found = _NOT_FOUND

    @extend_schema(
        operation_id="withdraw_bid",
        summary="Withdraw a bid",
        description="By its bidder, while it is active or countered. Not in auctions.",
        request=NoBody,
        examples=[_NOT_ACTIVE, _AUCTION],
        responses={200: BID},
    )
    @idempotent
    def post(self, request: Request, bid_id: UUID) -> HttpResponse:
        parse_body(NoBody, request)
        bid = services.withdraw_bid(
            bidder_id=self.principal.account_id, bid_id=bid_id, actor=self.actor
        )
        return self.answer(bid)


def _tag(bid: Bid) -> str:
    """An auction moves amount and lead of a bid without a step of its own."""
    return etag(bid.version, bid.amount, bid_object(bid)["leading"])


def _filters(query: dict[str, Any]) -> dict[str, Any]:
    return {name: query[name] for name in ("status",) if name in query}
