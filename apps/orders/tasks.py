"""Celery's doors to the orders app."""

import time

from apps.common.leases import SLICE_SECONDS
from apps.common.tasks import job
from apps.orders.services import orders, reconciling


@job(orders.EXPIRE)
def expire() -> bool:
    """Give back the stock of pending orders whose reservation ran out."""
    deadline = time.monotonic() + SLICE_SECONDS
    while orders.expire_orders() == orders.EXPIRE_BATCH:
        if time.monotonic() >= deadline:
            return True
    return False


@job("orders.reconcile_stock")
def reconcile_stock() -> bool:
    """Compare the counters of stock with the ledger, and raise the alarm when they differ."""
    reconciling.reconcile_stock()
    return False
