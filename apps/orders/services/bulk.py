"""Placing many orders: in chunks, each a transaction with two calls of the database at its core.

Every order stands or falls by itself. A chunk's results are remembered in its transaction, so that a
retried request goes on where the first one ended, and places nothing twice.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db import connection, transaction

from apps.common import clock
from apps.common.actor import Actor
from apps.common.errors import DomainError
from apps.common.idempotency import Retryable, require_same, stored_answer
from apps.common.models import IdempotencyKey
from apps.common.retries import retried
from apps.common.wakeups import wake_on_commit
from apps.events.publishing import DISPATCH
from apps.orders.services.building import (
    Catalogue,
    Document,
    NewOrder,
    Placed,
    build,
    document,
    refuse,
)
from apps.orders.services.erasing import owe_overtaken
from apps.orders.services.placing import MAX_ATTEMPTS, busy

# A chunk holds the locks of its stock until it commits: some tens of milliseconds.
CHUNK_ORDERS = 100
CHUNK_LINES = 1000

Outcome = Placed | DomainError
Render = Callable[[Outcome], Any]


@dataclass(frozen=True, slots=True)
class BulkRetry:
    """The idempotency key of a request; `answer` makes the columns of the row that remembers what is
    answered, from the results."""

    asked: Retryable
    answer: Callable[[list[Any]], dict[str, Any]]


class _Attempt(NamedTuple):
    """An order on its way: its place among those of the chunk, and what would be written."""

    nth: int
    placed: Placed
    document: Document


def place_orders(
    *,
    account_id: UUID,
    actor: Actor,
    wanted: Sequence[NewOrder],
    render: Render,
    retry: BulkRetry | None = None,
) -> list[Any]:
    """Place what can be placed, in this order; what `render` makes (JSON values) of each outcome.

    Call it outside a transaction, and with an idempotency key while its lock is held. Raises
    Unavailable when the products keep changing underneath; what was placed until then stays, and the
    same request with the same key goes on from there.
    """
    chunks = list(_chunks(wanted))
    parts = [_part(retry.asked, number) if retry else None for number in range(len(chunks))]
    # One transaction is waited for by whoever erases a customer; the others look whether somebody has.
    since = clock.now() if retry or len(chunks) > 1 else None
    results: list[Any] = []
    for chunk, part in zip(chunks, parts, strict=True):
        results += _place_chunk(account_id, actor, chunk, render, part, since)
    if retry is not None:
        _remember(account_id, retry.answer(results), parts, wanted, since)
    return results


@transaction.atomic
def _remember(
    account_id: UUID,
    answer: Mapping[str, Any],
    parts: Sequence[Retryable | None],
    wanted: Sequence[NewOrder],
    since: datetime | None,
) -> None:
    """Remember the whole answer, and no longer those of the chunks."""
    IdempotencyKey.objects.create(**answer)
    _owe_overtaken(account_id, wanted, since)
    names = [part.key for part in parts if part is not None]
    IdempotencyKey.objects.filter(account_id=answer["account_id"], key__in=names).delete()


def _chunks(wanted: Sequence[NewOrder]) -> Iterator[Sequence[NewOrder]]:
    """The same chunks for the same request, always."""
    start = lines = 0
    for index, one in enumerate(wanted):
        lines += len(one.items.quantities)
        if index > start and (index - start == CHUNK_ORDERS or lines > CHUNK_LINES):
            yield wanted[start:index]
            start, lines = index, len(one.items.quantities)
    if wanted:
        yield wanted[start:]


def _part(asked: Retryable, number: int) -> Retryable:
    """The key of one chunk: no client can send it, since keys of clients are printable."""
    digest = hashlib.sha256(asked.key.encode()).hexdigest()
    return Retryable(asked.account_id, f"\x1e{digest}:{number}", asked.fingerprint)


@retried
@transaction.atomic
def _place_chunk(
    account_id: UUID,
    actor: Actor,
    chunk: Sequence[NewOrder],
    render: Render,
    part: Retryable | None,
    since: datetime | None,
) -> list[Any]:
    if part is not None and (stored := stored_answer(part)) is not None:
        require_same(stored, part)
        known: list[Any] = orjson.loads(bytes(stored.body))
        return known
    results = [render(outcome) for outcome in _decide(account_id, actor, chunk)]
    if part is not None:
        IdempotencyKey.objects.create(
            account_id=part.account_id,
            key=part.key,
            fingerprint=part.fingerprint,
            status=200,
            body=orjson.dumps(results),
        )
    _owe_overtaken(account_id, chunk, since)
    wake_on_commit(DISPATCH)
    return results


def _owe_overtaken(account_id: UUID, wanted: Sequence[NewOrder], since: datetime | None) -> None:
    if since is not None:
        customer_ids = {one.customer_id for one in wanted}
        owe_overtaken(account_id=account_id, customer_ids=customer_ids, since=since)


def _decide(account_id: UUID, actor: Actor, chunk: Sequence[NewOrder]) -> list[Outcome]:
    """Read, build and write; again for those of which a product moved in between.

    From the first writing on their stock is locked, and so are their products.
    """
    outcomes: dict[int, Outcome] = {}
    pending: Sequence[int] = range(len(chunk))
    for _ in range(MAX_ATTEMPTS):
        attempts: list[_Attempt] = []
        for index, built in _build(account_id, chunk, pending):
            if isinstance(built, Placed):
                attempts.append(_Attempt(index, built, document(built, actor)))
            else:
                outcomes[index] = built
        outcomes |= _write(attempts, chunk)
        pending = [attempt.nth for attempt in attempts if attempt.nth not in outcomes]
        if not pending:
            return [outcomes[index] for index in range(len(chunk))]
    raise busy()


def _build(
    account_id: UUID, chunk: Sequence[NewOrder], pending: Sequence[int]
) -> Iterator[tuple[int, Outcome]]:
    wanted = [chunk[index] for index in pending]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT at, numbers, storefronts::text, products::text"
            " FROM orders_read_for_bulk(%s, %s, %s, %s)",
            [
                account_id,
                list({one.storefront for one in wanted}),
                list({sku for one in wanted for sku in one.items.skus}),
                len(wanted),
            ],
        )
        at, numbers, *found = cursor.fetchone()
    catalogue = Catalogue.of(*found)
    for index, one, number in zip(pending, wanted, numbers, strict=True):
        # A microsecond apart, so that they are listed in the order in which they were asked for.
        moment = at + timedelta(microseconds=index)
        try:
            yield index, build(one, catalogue, account_id=account_id, number=number, at=moment)
        except DomainError as refusal:
            yield index, refusal


def _write(attempts: Sequence[_Attempt], chunk: Sequence[NewOrder]) -> dict[int, Outcome]:
    """What became of each, without those that must be tried again."""
    if not attempts:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT outcomes::text FROM orders_place_bulk_v3(%s, %s::bytea[])",
            [
                orjson.dumps([attempt.document.content for attempt in attempts]).decode(),
                [attempt.document.payload for attempt in attempts],
            ],
        )
        said = orjson.loads(cursor.fetchone()[0])
    outcomes: dict[int, Outcome] = {}
    for (index, placed, _), one in zip(attempts, said, strict=True):
        if one["outcome"] == "placed":
            outcomes[index] = placed
            continue
        try:
            refuse(one["outcome"], one["available"] or {}, chunk[index], placed)
        except DomainError as refusal:
            outcomes[index] = refusal
    return outcomes
