"""Celery's doors to the orders app."""

from apps.common.leases import reconcile
from apps.common.tasks import job
from apps.orders.services import erasing, orders, reconciling


@job(orders.EXPIRE)
def expire() -> bool:
    """Give back the stock of pending orders whose reservation ran out."""
    return reconcile(lambda: orders.expire_orders() == orders.EXPIRE_BATCH)


@job("orders.reconcile_stock")
def reconcile_stock() -> bool:
    """Compare the counters of stock with the ledger, and raise the alarm where they differ."""
    return reconciling.reconcile_stock()


@job(erasing.ERASE)
def erase() -> bool:
    """Blank the personal data of customers that were erased, a batch of orders at a time."""
    return reconcile(erasing.erase_some)
