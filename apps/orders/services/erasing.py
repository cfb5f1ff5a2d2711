"""Erasing a customer's personal data from the orders: owed as a row, done in batches."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import prefetch_related_objects

from apps.common import clock
from apps.common.actor import system
from apps.common.retries import retried
from apps.common.wakeups import wake_on_commit
from apps.orders.events import PRIVATE_FIELDS
from apps.orders.models import Erasure, Order, OrderChange, Return, Shipment
from apps.orders.selectors import orders_of_customer
from apps.orders.services.edits import Edit
from apps.orders.services.saving import save

ERASE = "orders.erase"
ERASE_BATCH = 100

# Whoever has these reads the address at the carrier's.
_TRACES = ("tracking_number", "tracking_link")
# Members of a history row's changes that are personal, or have something personal inside.
_IN_HISTORY = (*PRIVATE_FIELDS, *_TRACES, "shipment")


def owe_erasure(*, account_id: UUID, customer_id: str) -> None:
    """Note that this customer's data is to go, and wake who does it; call it in a transaction."""
    Erasure.objects.create(account_id=account_id, customer_id=customer_id, after=UUID(int=0))
    wake_on_commit(ERASE)


@retried
@transaction.atomic
def erase_some() -> bool:
    """Erase a batch of one customer's orders, deleted ones among them; False when nobody is owed any.

    The row remembers the last order done, in the transaction that did it: a worker that dies is
    followed by another that goes on from there. Addresses, metadata, tracking and the reasons of
    returns go, from orders and history; items, totals, payments and the caller's own ids stay.
    """
    owed = Erasure.objects.select_for_update(skip_locked=True).order_by("pk").first()
    if owed is None:
        return False
    ids = orders_of_customer(owed.account_id, owed.customer_id, after=owed.after, limit=ERASE_BATCH)
    if not ids:
        owed.delete()
        return True
    _erase(ids)
    owed.after = ids[-1]
    owed.save(update_fields=["after"])
    return True


def _erase(ids: list[UUID]) -> None:
    rows = Order.objects.select_for_update(no_key=True, of=("self",)).select_related("storefront")
    orders = list(rows.filter(pk__in=ids).order_by("pk"))
    prefetch_related_objects(orders, "lines")
    Shipment.objects.filter(order__in=ids).update(**dict.fromkeys(_TRACES))
    Return.objects.filter(order__in=ids).exclude(reason="").update(reason="")
    _erase_history(ids)
    actor, at = system(ERASE), clock.now()
    edits = [Edit(order, actor, at) for order in orders]
    for edit in edits:
        edit.blank("shipping_address", None)
        edit.blank("metadata", {})
        for name in _TRACES:
            edit.blank(name, None)
    save(edits)


def _erase_history(ids: list[UUID]) -> None:
    changes = list(OrderChange.objects.filter(order__in=ids, changes__has_any_keys=_IN_HISTORY))
    for change in changes:
        change.changes = {name: _erased(name, both) for name, both in change.changes.items()}
    OrderChange.objects.bulk_update(changes, ["changes"], batch_size=1000)


def _erased(name: str, both: list[Any]) -> list[Any]:
    """What history keeps of [old, new]: that something changed, not what it was."""
    if name in (*PRIVATE_FIELDS, *_TRACES):
        return [None, None]
    if name == "shipment":
        return [_without_traces(value) for value in both]
    return both


def _without_traces(shipment: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if shipment is None else {**shipment, **dict.fromkeys(_TRACES)}
