"""Comparing the counters of stock with the ledger that they are the sums of."""

from collections.abc import Sequence
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models.functions import Now
from prometheus_client import Gauge

from apps.common.leases import SLICE_SECONDS, reconcile
from apps.orders.models import StockCheck, StockDrift
from apps.orders.selectors import Drift, compared_stock

BATCH = 1000
START = UUID(int=0)

drifted = Gauge(
    "tradepost_stock_drifted_products",
    "Products whose counters are not the sums of their ledger",
    multiprocess_mode="mostrecent",
)
log = structlog.get_logger(__name__)


def reconcile_stock(*, slice_seconds: float = SLICE_SECONDS) -> bool:
    """Compare products from where the last slice ended; True until the pass has seen all of them.

    Each that drifted is logged, counted and kept for the back office until a later pass finds that it
    agrees again. Nothing is repaired: that would hide the fault that made the drift, which is for a
    person to find.
    """
    StockCheck.objects.get_or_create(pk=1)
    unfinished = reconcile(_compare_some, slice_seconds=slice_seconds)
    drifted.set(len(StockDrift.objects.values_list("pk")))
    return unfinished


def _compare_some() -> bool:
    """Compare the next batch; False at the end, and when another worker has just done the same."""
    after = StockCheck.objects.values_list("after", flat=True).get(pk=1)
    compared = compared_stock(after=after, limit=BATCH)
    is_over = len(compared) < BATCH
    with transaction.atomic():
        moved = StockCheck.objects.filter(pk=1, after=after)
        if is_over:
            is_ours = moved.update(after=START, ended_at=Now())
        else:
            is_ours = moved.update(after=compared[-1].product_id)
        if is_ours:
            _note(compared)
    return bool(is_ours) and not is_over


def _note(compared: Sequence[Drift]) -> None:
    found = [row for row in compared if row.has_drifted]
    for row in found:
        log.error("stock_drifted", **row._asdict())
    agreed = [row.product_id for row in compared if not row.has_drifted]
    StockDrift.objects.filter(pk__in=agreed).delete()
    StockDrift.objects.bulk_create(
        [StockDrift(**row._asdict()) for row in found],
        update_conflicts=True,
        unique_fields=["product"],
        update_fields=["on_hand", "reserved", "ledger_on_hand", "ledger_reserved"],
    )
