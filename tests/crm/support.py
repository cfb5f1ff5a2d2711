"""A shop with customers, and the sync as workers would run it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from apps.common.ids import uuid7
from apps.crm.enums import SyncState
from apps.crm.models import Contact, Customer, Portal
from apps.crm.selectors import portal_key, token_digest
from apps.crm.services.connections import continue_resync
from apps.crm.services.folding import look_at_news
from apps.crm.services.syncing import sync_some
from apps.events.models import Event
from sandbox.hubspot.server import Simulator
from tests.support import ApiClient

TOKEN = "pat-test-1"
MAX_STEPS = 1000


class Shop:
    """What an account does through the API; its customers are JSON objects."""

    def __init__(self, client: ApiClient, hubspot: Simulator, **connection: Any) -> None:
        self.client = client
        self.hubspot = hubspot
        self.connect(**connection)

    def connect(self, **connection: Any) -> Any:
        body = {"access_token": TOKEN, **connection}
        answer = self.client.put("/api/v1/crm/connection", body)
        assert answer.status_code == 200, answer.content
        return answer.json()

    def add(self, email: str, **fields: Any) -> Any:
        answer = self.client.post("/api/v1/customers", {"email": email, **fields})
        assert answer.status_code == 201, answer.content
        return answer.json()

    def change(self, customer: Any, **fields: Any) -> Any:
        answer = self.client.patch(f"/api/v1/customers/{customer['id']}", fields)
        assert answer.status_code == 200, answer.content
        return answer.json()

    def crm(self, customer: Any) -> Any:
        return self.client.get(f"/api/v1/customers/{customer['id']}").json()["crm"]

    def attempts(self, customer: Any) -> list[tuple[str, str]]:
        """(call, outcome), oldest first."""
        rows = self.client.get(f"/api/v1/customers/{customer['id']}/sync").json()["results"]
        return [(row["call"], row["outcome"]) for row in reversed(rows)]

    def forget_customers(self) -> None:
        """As if there had never been any."""
        Contact.objects.filter(account_id=self.client.account.id).delete()
        Customer.objects.filter(account_id=self.client.account.id).delete()

    def add_many(self, number: int, *, contact_ids: Sequence[str] = ()) -> list[UUID]:
        """Customers made behind the API's back: owed to HubSpot, their contacts known if given."""
        account_id = self.client.account.id
        customers = [
            Customer(
                id=uuid7(), account_id=account_id, email=f"c{index}@many.example", first_name="A"
            )
            for index in range(number)
        ]
        Customer.objects.bulk_create(customers)
        Contact.objects.bulk_create(
            Contact(
                customer=customer,
                account_id=account_id,
                due_at=Now() - timedelta(minutes=1),
                contact_id=contact_ids[index] if contact_ids else None,
                portal_key=key() if contact_ids else "",
                acknowledged={"email": customer.email} if contact_ids else {},
            )
            for index, customer in enumerate(customers)
        )
        with connection.cursor() as cursor:
            # And locked by that until the end: autovacuum would count none of what is not committed, and
            # PostgreSQL plan for empty tables.
            cursor.execute("ANALYZE crm_customer, crm_contact")
        return [customer.pk for customer in customers]


def key(token: str = TOKEN) -> str:
    """Of the portal that the token leads to."""
    return portal_key(token_digest(token))


def portal(token: str = TOKEN) -> Portal:
    return Portal.objects.get(pk=key(token))


def pass_time(seconds: float = 3600) -> None:
    """Let everything that waits have waited so long."""
    gone = timedelta(seconds=seconds)
    Contact.objects.filter(due_at__isnull=False).update(due_at=F("due_at") - gone)
    Contact.objects.filter(lease_until__isnull=False).update(lease_until=F("lease_until") - gone)
    Portal.objects.filter(resume_at__isnull=False).update(resume_at=F("resume_at") - gone)


def sync() -> None:
    """Do what is owed, the collecting time and all waits being over, until nothing more can be done."""
    pass_time(120)
    for _ in range(MAX_STEPS):
        while continue_resync() or look_at_news():
            pass_time(120)
        if not sync_some():
            return
    raise AssertionError(f"after {MAX_STEPS} steps something is owed still")


def step() -> bool:
    """One call at the most, of what has waited long enough."""
    pass_time(120)
    return sync_some()


def states() -> dict[str, int]:
    """How many customers are in each state."""
    found = Contact.objects.values_list("state", flat=True)
    return {state: list(found).count(state) for state in SyncState.values if state in found}


def told(kind: str) -> int:
    """How many events there are of this type."""
    return Event.objects.filter(type=kind).count()
