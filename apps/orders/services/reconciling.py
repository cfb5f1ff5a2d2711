"""Comparing the counters of stock with the ledger that they are the sums of."""

import time
from uuid import UUID

import structlog
from prometheus_client import Gauge

from apps.common.leases import SLICE_SECONDS
from apps.orders.selectors import Drift, compared_stock

BATCH = 1000

drifted = Gauge(
    "tradepost_stock_drifted_products",
    "Products whose counters are not the sums of their ledger",
    multiprocess_mode="mostrecent",
)
log = structlog.get_logger(__name__)


def reconcile_stock() -> list[Drift]:
    """Compare every product and raise the alarm for each that drifted; repairs nothing.

    A repair would hide the fault that made the drift: that is for a person to find.
    """
    deadline = time.monotonic() + SLICE_SECONDS
    found: list[Drift] = []
    after = UUID(int=0)
    while compared := compared_stock(after=after, limit=BATCH):
        found += [row for row in compared if row.has_drifted]
        after = compared[-1].product_id
        if time.monotonic() >= deadline:
            log.warning("stock_reconcile_unfinished", after=str(after))
            break
    drifted.set(len(found))
    for row in found:
        log.error("stock_drifted", **row._asdict())
    return found
