"""Plans are made once for a connection, often while tables are small: they must do when those have grown."""

from collections.abc import Callable, Sequence
from uuid import UUID

import pytest
from django.db import connection, transaction

from apps.common import clock
from apps.common.ids import uuid7
from apps.common.models import IdempotencyKey
from apps.common.together import Together
from apps.orders.models import Product, Stock
from apps.orders.services import placing
from tests.orders.conftest import Shop

pytestmark = pytest.mark.django_db(transaction=True)

OTHERS = 3000

_READ = """
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::integer FROM pg_stat_xact_user_tables
 WHERE relname = ANY ('{orders_stock,common_idempotencykey}')
"""


def read_by(work: Callable[[], object]) -> int:
    """How many rows of stock and of idempotency keys were read."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")  # what was read before is not counted
    with transaction.atomic(), connection.cursor() as cursor:
        work()
        cursor.execute(_READ)
        found: int = cursor.fetchone()[0]
    return found


def postings(shop: Shop, monkeypatch: pytest.MonkeyPatch, *keys: str) -> list[placing._Posting]:
    """Orders as they are handed over to be written: one for each of `keys`, and two without."""
    found: list[placing._Posting] = []

    def keep(asked: Sequence[placing._Posting]) -> Sequence[placing._Written]:
        found.extend(asked)
        return [placing._Written("placed", None, uuid7(), 1, clock.now()) for _ in asked]

    with monkeypatch.context() as patched:
        patched.setattr(placing, "_together", Together(keep, most=1, patience=60))
        for key in (*keys, None, None):
            assert shop.try_order(("MUG", 1), ("CUP", 1), key=key).status_code == 201
    return found


def make_others(account_id: UUID) -> None:
    products = Product.objects.bulk_create(
        Product(account_id=account_id, sku=f"P{n}", name="P", price=1, currency="EUR")
        for n in range(OTHERS)
    )
    Stock.objects.bulk_create(Stock(product=product, on_hand=1) for product in products)
    IdempotencyKey.objects.bulk_create(
        IdempotencyKey(account_id=account_id, key=f"k{n}", fingerprint="", status=201, body=b"")
        for n in range(OTHERS)
    )


def test_orders_written_together_read_what_they_name_however_much_there_is(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.product("MUG", stock=100)
    shop.product("CUP", stock=100)
    shop.order(("MUG", 1), ("CUP", 1))
    first = postings(shop, monkeypatch, "a", "b")
    then = postings(shop, monkeypatch, "c", "d")
    with connection.cursor() as cursor:
        for statement in (
            "VACUUM ANALYZE orders_stock",
            "VACUUM ANALYZE common_idempotencykey",
            "DISCARD PLANS",
        ):
            cursor.execute(statement)
    assert None not in placing._post_together(first)  # plans it
    make_others(Product.objects.values_list("account_id", flat=True)[0])

    read = read_by(lambda: placing._post_together(then))

    # Two products, looked at before, as they are locked and as they are changed, and four keys.
    assert 6 <= read <= 20
