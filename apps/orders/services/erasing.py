"""Erasing a customer's personal data from the orders: owed as a row, done in batches.

What was on its way when the erasure was noted counts as there before: orders are looked at once more when
every transaction of that time has ended, and then what is remembered of them for retried POSTs. An order
placed later is another matter, and is let be.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from django.db import connection, transaction
from django.db.models import prefetch_related_objects
from django.db.models.functions import Now

from apps.common import clock
from apps.common.actor import system
from apps.common.idempotency import erase_answers
from apps.common.ids import uuid7_bounds
from apps.common.retries import retried
from apps.common.wakeups import wake_on_commit
from apps.orders.enums import ErasureStage
from apps.orders.events import PRIVATE_FIELDS
from apps.orders.models import Erasure, Order, OrderChange, Return, Shipment
from apps.orders.selectors import orders_of_customer
from apps.orders.services.edits import Edit
from apps.orders.services.saving import save

ERASE = "orders.erase"
ERASE_BATCH = 100
# While a transaction of before is open.
LOOK_AGAIN = timedelta(seconds=1)
# Longer than any request lasts.
KEPT = timedelta(hours=1)
# By so much at most is the time of an order placed in bulk later than the moment at which that was taken.
IN_ONE_CALL = timedelta(milliseconds=1)

_NOTHING = UUID(int=0)
# Whoever has these reads the address at the carrier's.
_TRACES = ("tracking_number", "tracking_link")
# Members of a history row's changes that are personal, or have something personal inside.
_IN_HISTORY = (*PRIVATE_FIELDS, *_TRACES, "shipment")

_SOMEBODY_IS_AT_WORK = """
SELECT EXISTS (
  SELECT FROM pg_stat_activity
   WHERE datname = current_database() AND backend_type = 'client backend' AND xact_start < %s)
"""


def owe_erasure(*, account_id: UUID, customer_id: str) -> None:
    """Note that this customer's data is to go, and wake who does it; call it in a transaction."""
    Erasure.objects.create(account_id=account_id, customer_id=customer_id, after=_NOTHING)
    wake_on_commit(ERASE)


def owe_overtaken(*, account_id: UUID, customer_ids: Collection[str], since: datetime) -> None:
    """Owe anew what was owed of these customers `since`: who calls this, in the transaction that writes, has
    been at work for all that time with what was said of them before."""
    overtaken = Erasure.objects.filter(
        account_id=account_id, customer_id__in=customer_ids, created_at__gte=since
    )
    for customer_id in set(overtaken.values_list("customer_id", flat=True)):
        owe_erasure(account_id=account_id, customer_id=customer_id)


@retried
@transaction.atomic
def erase_some() -> bool:
    """Erase a batch of one customer's orders, deleted ones among them; False when nobody is due.

    The row remembers the last order done, in the transaction that did it: a worker that dies is
    followed by another that goes on from there. Addresses, metadata, tracking and the reasons of
    returns go, from orders, history and remembered answers; items, totals, payments and the caller's own
    ids stay.
    """
    due = Erasure.objects.select_for_update(skip_locked=True).filter(due_at__lte=Now())
    owed = due.order_by("due_at").first()
    if owed is None:
        Erasure.objects.filter(due_at=None, created_at__lt=Now() - KEPT).delete()
        return False
    if owed.stage == ErasureStage.ANSWERS:
        _erase_some_answers(owed)
    elif _may_go_on(owed):
        _erase_some_orders(owed)
    owed.save(update_fields=["stage", "after", "after_answer", "due_at"])
    return True


def _may_go_on(owed: Erasure) -> bool:
    """False, and due later, while the last look at the orders cannot begin."""
    if owed.after != _NOTHING:
        return True
    with connection.cursor() as cursor:
        cursor.execute(_SOMEBODY_IS_AT_WORK, [owed.created_at])
        (is_too_early,) = cursor.fetchone()
    if not is_too_early:
        owed.stage = ErasureStage.ORDERS_AGAIN  # which makes it the last, were it the first
    elif owed.stage == ErasureStage.ORDERS_AGAIN:
        owed.due_at = clock.now() + LOOK_AGAIN
        return False
    return True


def _erase_some_orders(owed: Erasure) -> None:
    ids = orders_of_customer(
        owed.account_id,
        owed.customer_id,
        after=owed.after,
        until=_last_of(owed),
        limit=ERASE_BATCH,
    )
    if ids:
        _erase(ids)
        owed.after = ids[-1]
        return
    is_first = owed.stage == ErasureStage.ORDERS
    owed.stage = ErasureStage.ORDERS_AGAIN if is_first else ErasureStage.ANSWERS
    owed.after = _NOTHING


def _last_of(owed: Erasure) -> UUID:
    """Above the ids of all orders that were placed before the erasure was noted."""
    return uuid7_bounds(owed.created_at + IN_ONE_CALL)[1]


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


def _erase_some_answers(owed: Erasure) -> None:
    last = erase_answers(
        account_id=owed.account_id,
        mention=orjson.dumps({"customer_id": owed.customer_id})[1:-1],
        blank=lambda answer: _blanked(answer, owed.customer_id, _last_of(owed)),
        after=owed.after_answer,
    )
    if last is None:
        owed.due_at = None
    else:
        owed.after_answer = last


def _blanked(answer: Any, customer_id: str, until: UUID) -> Any:
    """An answer without what is personal in the orders of a customer, single ones or in bulk."""
    match answer:
        case list():
            return [_blanked(one, customer_id, until) for one in answer]
        case {"results": list(results)}:
            return {**answer, "results": _blanked(results, customer_id, until)}
        case {"order": dict(order)}:
            return {**answer, "order": _blanked(order, customer_id, until)}
        case {"id": str(order_id), "customer_id": str(whose), "shipments": list(shipments)} if (
            whose == customer_id and UUID(order_id) <= until
        ):
            return {
                **answer,
                **dict.fromkeys(_TRACES),
                "shipments": [_without_traces(shipment) for shipment in shipments],
                "shipping_address": None,
                "metadata": {},
            }
    return answer
