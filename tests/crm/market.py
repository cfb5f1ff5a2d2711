"""A seller whose HubSpot hears of its deals, and the sync of deals as workers would run it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Now

from apps.common.ids import uuid7
from apps.crm.models import SoldDeal
from apps.crm.services.deal_sync import sync_deals
from apps.events.dispatch import dispatch
from sandbox.hubspot.server import Simulator
from tests.crm.support import MAX_STEPS, Shop, pass_time, sync
from tests.support import ApiClient

CALLS = "objects/deals/batch/"


class Market:
    """A seller that HubSpot is connected to, and one buyer."""

    def __init__(self, shop: Shop, buyer: ApiClient) -> None:
        self.shop = shop
        self.seller = shop.client
        self.buyer = buyer
        body = {"buyer": buyer.account.slug}
        assert self.seller.post("/api/v1/authorizations", body).status_code == 201

    def sell(self, name: str = "12 chairs", amount: int = 108_000, currency: str = "EUR") -> Any:
        """The deal, sold to the buyer by a bid."""
        deal = self.offer(name, currency)
        path = f"/api/v1/deals/{deal['id']}/bids"
        bid = self.buyer.post(path, {"amount": amount}).json()
        accepted = self.seller.post(f"/api/v1/bids/{bid['id']}/accept")
        assert accepted.status_code == 200, accepted.content
        return deal

    def offer(self, name: str = "12 chairs", currency: str = "EUR") -> Any:
        terms = {"name": name, "total_price": 120_000, "currency": currency}
        body = {**terms, "items": [{"name": "chair", "price": 10_000}]}
        answer = self.seller.post("/api/v1/deals", body)
        assert answer.status_code == 201, answer.content
        return answer.json()

    def add_buyer(self) -> Any:
        """The seller's customer that the buyer is; in HubSpot after the next `follow`."""
        return self.shop.add("buyer@example.com", external_id=self.buyer.account.slug)

    def add_many(self, number: int) -> list[UUID]:
        """Deals sold, behind the API's back."""
        rows = [
            SoldDeal(
                id=uuid7(),
                account_id=self.seller.account.id,
                buyer_id=self.buyer.account.id,
                name=f"deal {index}",
                amount=100 + index,
                currency="EUR",
                sold_at=datetime(2026, 11, 21, 9, 30, tzinfo=UTC),
                due_at=Now() - timedelta(minutes=1),
            )
            for index in range(number)
        ]
        SoldDeal.objects.bulk_create(rows)
        return [row.pk for row in rows]

    def take_back(self, deal: Any) -> None:
        (invoice,) = self.seller.get("/api/v1/invoices", deal=deal["id"]).json()["results"]
        path = f"/api/v1/invoices/{invoice['id']}/void"
        assert self.seller.post(path, {"reason": "damaged"}).status_code == 200


def wait(seconds: float = 120) -> None:
    gone = timedelta(seconds=seconds)
    SoldDeal.objects.filter(due_at__isnull=False).update(due_at=F("due_at") - gone)
    SoldDeal.objects.filter(lease_until__isnull=False).update(lease_until=F("lease_until") - gone)
    pass_time(seconds)


def follow() -> None:
    """Let every event be handled and HubSpot be told, all waits being over."""
    dispatch()
    sync()
    dispatch()
    tell()


def tell() -> None:
    wait()
    for _ in range(MAX_STEPS):
        if not sync_deals():
            return
    raise AssertionError(f"after {MAX_STEPS} steps something is owed still")


def step() -> bool:
    wait()
    return sync_deals()


def deal_states() -> dict[str, int]:
    found = list(SoldDeal.objects.values_list("state", flat=True))
    return {state: found.count(state) for state in found}


def deal_calls(hubspot: Simulator) -> list[tuple[str, int]]:
    """What was asked about deals, and of how many."""
    return [(call.path.rpartition("/")[2], call.size) for call in hubspot.calls_to(CALLS)]
