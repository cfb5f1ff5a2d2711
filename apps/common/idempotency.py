"""Remembered answers of retried POSTs, as the database knows them; `apps.common.api.idempotency` is the
HTTP side."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from apps.common.errors import Conflict, Unprocessable
from apps.common.models import IdempotencyKey

KEPT_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Retryable:
    """A POST that carries a key: whose it is, which key, and the digest of what was asked."""

    account_id: UUID
    key: str
    fingerprint: str

    @property
    def lock_name(self) -> str:
        """What the advisory lock of this key is named after."""
        return f"idempotency:{self.account_id}:{self.key}"


def take_lock(asked: Retryable) -> None:
    """Hold the key until the transaction ends; `Conflict` at once when another request holds it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [asked.lock_name]
        )
        if not cursor.fetchone()[0]:
            raise in_flight()


@contextmanager
def held(asked: Retryable) -> Iterator[None]:
    """Hold the key while the block runs, for a request of several transactions; `Conflict` at once when
    another request holds it. The lock is the connection's, so it ends with it too."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [asked.lock_name])
        if not cursor.fetchone()[0]:
            raise in_flight()
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [asked.lock_name])


def in_flight() -> Conflict:
    """The error for a key whose first request has not been answered yet."""
    return Conflict(
        "The first request with this Idempotency-Key is still at work. Ask again in a moment.",
        code="request_in_flight",
    )


def require_same(stored: IdempotencyKey, asked: Retryable) -> None:
    """Raise `Unprocessable` when what is stored answered another question."""
    if stored.fingerprint != asked.fingerprint:
        raise Unprocessable(
            "This Idempotency-Key was used for another request. Take a new key for a new request.",
            code="idempotency_key_reused",
        )


def stored_answer(asked: Retryable) -> IdempotencyKey | None:
    """The remembered answer; one older than 24 hours is forgotten here and now."""
    row = (
        IdempotencyKey.objects.filter(account_id=asked.account_id, key=asked.key)
        .annotate(forgotten=Q(created_at__lt=Now() - timedelta(seconds=KEPT_SECONDS)))
        .first()
    )
    if row is not None and row.forgotten:
        row.delete()
        return None
    return row


@transaction.atomic
def erase_answers(
    *,
    account_id: UUID,
    mention: bytes,
    blank: Callable[[Any], Any],
    after: str = "",
    limit: int = 1000,
) -> str | None:
    """Replace remembered answers with this `mention` by `blank(answer)`, among the account's next `limit`.

    A retry still gets an answer and does nothing again. Returns the last key looked at, to go on after;
    None when no more are left.
    """
    rows = IdempotencyKey.objects.filter(account_id=account_id, key__gt=after).order_by("key")
    keys = list(rows.values_list("key", flat=True)[:limit])
    if keys:
        found = rows.select_for_update(no_key=True).filter(key__lte=keys[-1])
        for row in found.extra(where=["position(%s IN body) > 0"], params=[mention]):
            answer = orjson.loads(bytes(row.body))
            left = blank(answer)
            if left != answer:
                row.body = orjson.dumps(left)
                row.save(update_fields=["body"])
    return keys[-1] if len(keys) == limit else None
