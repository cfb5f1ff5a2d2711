"""Importing products and their stock from sheets: looked at first, then brought in, in batches.

A batch is a transaction of a few statements however many rows it has. A bad row is left out and told;
the good ones come in. The same sheet a second time changes nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from io import BytesIO
from itertools import islice
from typing import BinaryIO
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from apps.common import clock
from apps.common.actor import Actor
from apps.common.errors import Conflict
from apps.common.retries import retried
from apps.orders.enums import MovementKind
from apps.orders.models import Product, ProductImport, Stock
from apps.orders.selectors import products
from apps.orders.services.ledger import Move, locked_stock, move, tell_low_stock
from apps.orders.services.products import FIELDS
from apps.orders.services.sheets import Row, read_sheet

BATCH = 500
MAX_TOLD = 1000
KEPT = timedelta(days=7)
_NEEDED = ("name", "price", "currency")


@dataclass(slots=True)
class Report:
    """What an import did, or would do; `bad` are the first of the bad rows."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    bad: list[Row] = field(default_factory=list)

    def refuse(self, row: Row, fault: str) -> None:
        """Count a row that is left out, and why."""
        self.refused += 1
        if len(self.bad) < MAX_TOLD:
            self.bad.append(Row(row.line, row.sku, fault=fault))


def preview(
    *, account_id: UUID, source: BinaryIO, progress: Callable[[], None] = lambda: None
) -> Report:
    """What `commit` would do; nothing is written. Raises Invalid for a file that is no sheet."""
    report = Report()
    for rows in _batches(source, report):
        _Batch(account_id, rows, report).plan()
        progress()
    return report


def commit(
    *, account_id: UUID, source: BinaryIO, actor: Actor, progress: Callable[[], None] = lambda: None
) -> Report:
    """Bring the good rows in; `progress` is called after each batch. Raises Invalid.

    Broken off, it has brought in whole batches; the rest comes with the same file again.
    """
    report = Report()
    for rows in _batches(source, report):
        done = _commit_batch(account_id, rows, actor)
        report.created += done.created
        report.updated += done.updated
        report.unchanged += done.unchanged
        for row in done.bad:
            report.refuse(row, row.fault)
        progress()
    return report


def upload(*, account_id: UUID, name: str, content: bytes, actor: Actor) -> ProductImport:
    """Keep a sheet with the report of what it would do; forgets those of the week before last. Raises
    Invalid for a file that is no sheet."""
    report = preview(account_id=account_id, source=BytesIO(content))
    ProductImport.objects.filter(created_at__lt=Now() - KEPT).delete()
    return ProductImport.objects.create(
        account_id=account_id,
        name=name,
        content=content,
        report=asdict(report),
        uploaded_by=actor.as_json(),
    )


def commit_upload(*, import_id: UUID, actor: Actor) -> Report:
    """Bring an uploaded sheet in, once; raises Conflict the second time."""
    mine = ProductImport.objects.filter(pk=import_id)
    if not mine.filter(committed_at=None).update(committed_at=Now()):
        raise Conflict("This sheet has been brought in. To do it again, upload it again.")
    sheet = mine.get()
    report = commit(account_id=sheet.account_id, source=BytesIO(bytes(sheet.content)), actor=actor)
    mine.update(report=asdict(report))
    return report


def _batches(source: BinaryIO, report: Report) -> Iterator[list[Row]]:
    """The rows that make sense by themselves; the others go into the report."""
    rows = read_sheet(source)
    while batch := list(islice(rows, BATCH)):
        for row in batch:
            if row.fault:
                report.refuse(row, row.fault)
        yield [row for row in batch if not row.fault]


@retried
@transaction.atomic
def _commit_batch(account_id: UUID, rows: Sequence[Row], actor: Actor) -> Report:
    report = Report()
    batch = _Batch(account_id, rows, report)
    batch.lock()
    batch.plan()
    batch.write(actor, clock.now())
    return report


class _Batch:
    """Some rows of a sheet beside the products that they are about."""

    def __init__(self, account_id: UUID, rows: Sequence[Row], report: Report) -> None:
        self._account_id = account_id
        self._rows = rows
        self._present = products(account_id).filter(sku__in=[row.sku for row in rows])
        self._report = report
        self._stock: dict[UUID, Stock] = {}
        self._new: list[tuple[Product, Row]] = []
        self._altered: list[Product] = []
        self._thresholds: list[Stock] = []
        self._moves: list[Move] = []

    def lock(self) -> None:
        """Lock the products, then their stock, each in the order of ids, as everybody does. One that is made from
        here on is somebody else's."""
        mine = self._present.select_related(None).select_for_update(no_key=True).order_by("pk")
        ids = list(mine.values_list("pk", flat=True))
        self._stock = locked_stock(ids)
        self._present = self._present.filter(pk__in=ids)

    def plan(self) -> None:
        """Decide what each row would do, and count it."""
        present = {product.sku: product for product in self._present}
        for row in self._rows:
            product = present.get(row.sku)
            fault = self._plan_new(row) if product is None else self._plan_change(product, row)
            if fault:
                self._report.refuse(row, fault)

    def write(self, actor: Actor, at: datetime) -> None:
        """Write what was planned."""
        self._create(at)
        for product in self._altered:
            product.version += 1
            product.updated_at = at
        Product.objects.bulk_update(self._altered, [*FIELDS, "version", "updated_at"])
        Stock.objects.bulk_update(self._thresholds, ["low_stock_threshold", "is_low"])
        if self._moves:
            move(self._moves, self._stock, actor, at)
            tell_low_stock({one.product_id for one in self._moves}, actor=actor, at=at)

    def _plan_new(self, row: Row) -> str:
        missing = [name for name in _NEEDED if name not in row.fields]
        if missing:
            return f"a new product needs {', '.join(missing)} too"
        values = {name: row.fields[name] for name in FIELDS if name in row.fields}
        self._new.append((Product(account_id=self._account_id, sku=row.sku, **values), row))
        self._report.created += 1
        return ""

    def _plan_change(self, product: Product, row: Row) -> str:
        stock = self._stock.get(product.pk, product.stock)
        on_hand = row.fields.get("stock", stock.on_hand)
        if on_hand < stock.reserved:
            return f"stock may not be below the {stock.reserved} that orders have reserved"
        altered = {
            name: row.fields[name]
            for name in FIELDS
            if name in row.fields and row.fields[name] != getattr(product, name)
        }
        for name, value in altered.items():
            setattr(product, name, value)
        delta = on_hand - stock.on_hand
        if delta:
            self._moves.append(Move(MovementKind.ADJUSTED, product.pk, delta, reason="import"))
        threshold = row.fields.get("low_stock_threshold", stock.low_stock_threshold)
        if threshold != stock.low_stock_threshold:
            stock.low_stock_threshold = threshold
            # A threshold set above what there is has been reached already: nothing fell.
            stock.is_low = threshold is not None and stock.available <= threshold
            self._thresholds.append(stock)
        elif not altered and not delta:
            self._report.unchanged += 1
            return ""
        self._altered.append(product)
        self._report.updated += 1
        return ""

    def _create(self, at: datetime) -> None:
        Product.objects.bulk_create([one for one, _ in self._new], ignore_conflicts=True)
        ids = [one.pk for one, _ in self._new]
        made = set(Product.objects.filter(pk__in=ids).values_list("pk", flat=True))
        stocks = []
        for one, row in self._new:
            if one.pk not in made:
                self._report.created -= 1
                self._report.refuse(row, "somebody else made this product just now; import again")
                continue
            threshold, pieces = row.fields.get("low_stock_threshold"), row.fields.get("stock", 0)
            stocks.append(
                Stock(
                    product=one,
                    low_stock_threshold=threshold,
                    is_low=threshold is not None and threshold >= pieces,
                )
            )
            if pieces:
                self._moves.append(Move(MovementKind.RECEIVED, one.pk, pieces, reason="import"))
        Stock.objects.bulk_create(stocks)
        self._stock |= {stock.pk: stock for stock in stocks}
