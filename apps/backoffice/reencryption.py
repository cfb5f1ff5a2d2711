"""Bringing every secret of the installation under the newest key, so that an older one can go."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connection

from apps.common.encryption import EncryptedTextField, UndecipherableError, rotated

BATCH = 500


@dataclass(slots=True)
class Outcome:
    """What became of one column's values; an unopened one is under a key that is not there."""

    column: str
    renewed: int = 0
    unopened: int = 0


def reencrypt_all() -> Iterator[Outcome]:
    """Encrypt every value of every encrypted column by the newest key of ENCRYPTION_KEYS.

    It may run while all else does, be broken off and begun again: a value that somebody changes meanwhile
    is left to them, who encrypt by the newest key anyway.
    """
    for field in _encrypted_fields():
        yield _reencrypt(field)


def _encrypted_fields() -> "Iterator[EncryptedTextField]":
    for model in apps.get_models():
        if model._meta.proxy or not model._meta.managed:
            continue
        for field in model._meta.local_fields:
            if isinstance(field, EncryptedTextField):
                yield field


def _reencrypt(field: EncryptedTextField) -> Outcome:
    table, column = field.model._meta.db_table, str(field.column)
    outcome = Outcome(f"{table}.{column}")
    after: Any = None
    while rows := _batch(field, after):
        after = rows[-1][0]
        for pk, token in rows:
            try:
                renewed = rotated(bytes(token))
            except UndecipherableError:
                outcome.unopened += 1
                continue
            if renewed is not None:
                outcome.renewed += _replace(field, pk, bytes(token), renewed)
    return outcome


def _batch(field: EncryptedTextField, after: Any) -> list[tuple[Any, Any]]:
    table, column, key = _names(field)
    beyond = "" if after is None else f"AND {key} > %(after)s"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL {beyond}"  # noqa: S608 - names of ours
            f" ORDER BY {key} LIMIT %(batch)s",
            {"after": after, "batch": BATCH},
        )
        return list(cursor.fetchall())


def _replace(field: EncryptedTextField, pk: Any, old: bytes, new: bytes) -> int:
    table, column, key = _names(field)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET {column} = %s WHERE {key} = %s AND {column} = %s",  # noqa: S608 - names of ours
            [new, pk, old],
        )
        return int(cursor.rowcount)


def _names(field: EncryptedTextField) -> tuple[str, str, str]:
    meta = field.model._meta
    quote = connection.ops.quote_name
    return quote(meta.db_table), quote(str(field.column)), quote(str(meta.pk.column))
