"""Numbers without gaps, in the order of the sales, whatever fails on the way."""

from contextlib import ExitStack
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection, transaction

from apps.accounts.models import Account
from apps.common import clock
from apps.common.actor import system
from apps.deals.models import Bid, CreditNote, Deal, DealItem, DocumentCounter, Invoice
from apps.deals.services import invoices
from apps.deals.services.bids import accept_bid
from tests.deals.invoices.conftest import Sale
from tests.support import (
    ApiClient,
    background,
    concurrently,
    holding,
    somebody_waits_for_a_lock,
    wait_until,
)

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = system("test")


class Injected(Exception):
    """A failure after the number was taken."""


def bids_to_accept(seller: Account, bidder: Account, number: int) -> list[Bid]:
    """As many bids, each on a deal of its own."""
    deals, at = [], clock.now()
    bids = [
        Bid(bidder=bidder, amount=90, offered=90, maximum=90, actor=ACTOR.as_json())
        for _ in range(number)
    ]
    for bid in bids:
        bid.deal = Deal(
            seller=seller,
            name="A deal",
            currency="EUR",
            total_price=100,
            final_price=100,
            best_bid=90,
            leading_bid_id=bid.id,
            created_at=at,
            updated_at=at,
        )
        deals.append(bid.deal)
    Deal.objects.bulk_create(deals)
    DealItem.objects.bulk_create(
        DealItem(deal=deal, position=0, name="Item", price=1) for deal in deals
    )
    return Bid.objects.bulk_create(bids)


def sell(bid: Bid, seller_id: UUID, fate: str) -> None:
    """Accept the bid in a transaction that ends as `fate` says."""
    with transaction.atomic():
        accept_bid(seller_id=seller_id, bid_id=bid.id, actor=ACTOR)
        if fate == "fails":
            raise Injected
        if fate == "dies":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


@pytest.mark.parametrize("sales", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_sales_at_once_with_failures_leave_no_gap(
    seller: ApiClient, buyer: ApiClient, sales: int
) -> None:
    bids = bids_to_accept(seller.account, buyer.account, sales)
    fates = {"fails": count(), "dies": count()}

    def work(n: int) -> None:
        for place, bid in enumerate(bids[n::20]):
            for fate in {0: ["fails"], 1: ["dies"], 2: ["fails", "dies"]}.get((n + place) % 4, []):
                try:
                    sell(bid, seller.account.id, fate)
                except (Injected, OperationalError):
                    next(fates[fate])
                    connection.close()
            sell(bid, seller.account.id, "is well")

    concurrently(20, work)

    assert [next(counted) for counted in fates.values()] == [sales // 2, sales // 2]
    numbers = Invoice.objects.order_by("number").values_list("number", flat=True)
    assert list(numbers) == list(range(1, sales + 1))
    assert DocumentCounter.objects.get().last == sales
    assert Invoice.objects.values("deal").distinct().count() == sales
    by_time = Invoice.objects.order_by("number").values_list("issued_at", flat=True)
    assert by_time[0] < by_time[sales - 1]


def test_credit_notes_of_many_at_once_leave_no_gap_either(seller: ApiClient, sale: Sale) -> None:
    issued = [sale()["id"] for _ in range(12)]

    def void(n: int) -> None:
        invoices.void(seller_id=seller.account.id, invoice_id=UUID(issued[n]), actor=ACTOR)

    def work(n: int) -> None:
        if n % 3 == 0:
            with transaction.atomic():
                void(n)
                transaction.set_rollback(True)
        void(n)

    concurrently(12, work)

    numbers = CreditNote.objects.order_by("number").values_list("number", flat=True)
    assert list(numbers) == list(range(1, 13))
    assert list(Invoice.objects.order_by("number").values_list("number", flat=True)) == list(
        range(1, 13)
    )


def test_a_number_that_was_lost_goes_to_the_sale_that_waited_for_it(
    seller: ApiClient, buyer: ApiClient, sale: Sale
) -> None:
    sale()
    (bid,) = bids_to_accept(seller.account, buyer.account, 1)
    taken = "UPDATE deals_documentcounter SET last = last + 1 WHERE seller_id = %s"

    def accept() -> None:
        accept_bid(seller_id=seller.account.id, bid_id=bid.id, actor=ACTOR)

    with ExitStack() as other:
        other.enter_context(holding(taken, seller.account.id))
        with background(accept):
            wait_until(somebody_waits_for_a_lock)
            assert Invoice.objects.count() == 1
            other.close()  # rolls the other sale back

    numbers = Invoice.objects.order_by("number").values_list("number", flat=True)
    assert list(numbers) == [1, 2]


def test_sellers_do_not_wait_for_each_other(
    seller: ApiClient, buyer: ApiClient, sale: Sale, api: Any
) -> None:
    sale()
    other = api("deals:write").account
    (bid,) = bids_to_accept(other, buyer.account, 1)
    held = "SELECT * FROM deals_documentcounter WHERE seller_id = %s FOR UPDATE"

    with holding(held, seller.account.id):
        accept_bid(seller_id=other.id, bid_id=bid.id, actor=ACTOR)

    assert Invoice.objects.get(seller=other).number == 1


def test_issuing_outside_a_transaction_is_a_mistake(seller: ApiClient, buyer: ApiClient) -> None:
    deal = Deal(seller=seller.account, name="x", currency="EUR", total_price=1, final_price=1)

    with pytest.raises(RuntimeError):
        invoices.issue(deal=deal, buyer_id=buyer.account.id, amount=1, actor=ACTOR, at=clock.now())

    assert not DocumentCounter.objects.exists()
