"""Figures of a customer's orders: each order a row as its events tell it, the customer told when they move.

Nothing is counted up or down, so an event that comes twice, or late, counts once. What counts is an order
that is confirmed, shipped or completed, for its total less what was refunded of it.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

import orjson
from django.db import connection, transaction

from apps.common.retries import retried
from apps.common.wakeups import wake_on_commit
from apps.crm import selectors
from apps.crm.enums import ORDERS_PREFIX, SyncState
from apps.crm.models import Customer, OrderFold
from apps.crm.services.customers import SYNC, owe
from apps.crm.services.mapping import has_figures, wanted_of
from apps.crm.services.parcels import difference
from apps.events.models import Event

# Words of the orders app's events, which need not be installed.
COUNTING = ("confirmed", "shipped", "completed")
DELETED = "order.deleted"
ERASED = "customer.erased"
LOOKED_AT = 1000

# An order that does not count, and did not, is no news of its customer.
_FOLD = """
INSERT INTO crm_orderfold AS f (id, account_id, customer_id, number, placed_at, counts, spent, currency,
    version, is_erased, is_news)
SELECT v.*, FALSE, v.counts
  FROM jsonb_to_recordset(%s::jsonb) AS v(id uuid, account_id uuid, customer_id text, number bigint,
    placed_at timestamptz, counts boolean, spent bigint, currency text, version integer)
    ON CONFLICT (id) DO UPDATE SET
       counts = EXCLUDED.counts, spent = EXCLUDED.spent, version = EXCLUDED.version,
       is_news = f.is_news OR (f.counts OR EXCLUDED.counts)
         AND (f.counts, f.spent) IS DISTINCT FROM (EXCLUDED.counts, EXCLUDED.spent)
 WHERE EXCLUDED.version > f.version AND NOT f.is_erased
RETURNING f.is_news
"""


def fold(events: Sequence[Event]) -> None:
    """Bring the rows of orders up to these events, in their order; those of an erased customer go."""
    for is_erasure, some in groupby(events, key=lambda event: event.type == ERASED):
        if is_erasure:
            for event in some:
                _erase(event)
        else:
            _fold(list(some))


@retried
@transaction.atomic
def look_at_news() -> bool:
    """Owe HubSpot the customers whose figures are not what it has; False when no order is news.

    Later than the fold, which is committed by now: whichever customer is not seen here yet will see it.
    """
    rows = OrderFold.objects.select_for_update(skip_locked=True).filter(is_news=True)
    news = list(rows.order_by("pk")[:LOOKED_AT])
    by_account: dict[UUID, set[str]] = {}
    for row in news:
        by_account.setdefault(row.account_id, set()).add(row.customer_id)
    for account_id, customer_ids in by_account.items():
        _owe_changed(account_id, customer_ids)
    OrderFold.objects.filter(pk__in=[row.pk for row in news]).update(is_news=False)
    return bool(news)


def _fold(events: Sequence[Event]) -> None:
    # Of several of one order the last, which is the newest: a statement writes a row once.
    rows = {event.subject: _row(event) for event in events}
    with connection.cursor() as cursor:
        cursor.execute(_FOLD, [orjson.dumps(list(rows.values())).decode()])
        is_news = any(row[0] for row in cursor.fetchall())
    if is_news:
        wake_on_commit(SYNC)


def _row(event: Event) -> dict[str, Any]:
    order = orjson.loads(bytes(event.payload))["data"]["object"]
    return {
        "id": event.subject,
        "account_id": event.account_id,
        "customer_id": order["customer_id"],
        "number": order["number"],
        "placed_at": order["created_at"],
        "counts": order["status"] in COUNTING and event.type != DELETED,
        "spent": max(order["total"] - order["payments"]["refunded"], 0),
        "currency": order["currency"],
        "version": order["version"],
    }


def _erase(event: Event) -> None:
    """What is left is an id, so that a late event of the order does not bring it back."""
    customer = orjson.loads(bytes(event.payload))["data"]["object"]
    if customer["external_id"]:
        OrderFold.objects.filter(
            account_id=event.account_id, customer_id=customer["external_id"]
        ).update(
            is_erased=True,
            is_news=False,
            customer_id="",
            number=None,
            placed_at=None,
            counts=False,
            spent=0,
            currency="",
        )


def _owe_changed(account_id: UUID, customer_ids: set[str]) -> None:
    line = selectors.line(account_id)
    if line is None or not has_figures(line.mapping):
        return
    mapping = {
        field: target for field, target in line.mapping.items() if field.startswith(ORDERS_PREFIX)
    }
    found = Customer.objects.select_related("contact").filter(
        account_id=account_id, external_id__in=customer_ids, erased_at=None
    )
    customers = list(found)
    wanted = wanted_of(customers, mapping)
    changed = [
        one.pk
        for one in customers
        # A call that is under way may carry older ones.
        if one.contact.state == SyncState.PENDING
        or difference(
            mapping, wanted[one.pk], one.contact.acknowledged, one.contact.sending or ()
        ).keys()
        & set(mapping.values())
    ]
    owe(changed)
    if changed:
        wake_on_commit(SYNC)
