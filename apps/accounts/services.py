"""Changes of accounts and their keys."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Least, Now

from apps.accounts import keys, throttle
from apps.accounts.enums import DEFAULT_RATE_LIMIT, SCOPES
from apps.accounts.errors import ApiKeyExpired, ApiKeyRevoked, ApiKeyRotated, ScopesExceeded
from apps.accounts.models import Account, ApiKey
from apps.accounts.selectors import account, api_key
from apps.common import clock
from apps.common.actor import Principal
from apps.common.clock import rfc3339
from apps.common.errors import Fault, Invalid
from apps.common.ids import uuid7
from apps.common.versions import require_version

LAST_USED_PRECISION = timedelta(minutes=1)


class IssuedKey(NamedTuple):
    """A stored key and, for this once, the key itself."""

    record: ApiKey
    plain: str


def ensure_account(*, slug: str, name: str = "") -> Account:
    """The account of this slug, made when there is none."""
    found, _ = Account.objects.get_or_create(slug=slug, defaults={"name": name or slug})
    return found


@transaction.atomic
def update_account(
    *, account_id: UUID, changes: dict[str, Any], expected: frozenset[int] | None = None
) -> Account:
    """Change an account's own details; raises Stale."""
    record = Account.objects.select_for_update().get(pk=account_id)
    require_version(record.version, expected)
    altered = {name: value for name, value in changes.items() if getattr(record, name) != value}
    if altered:
        Account.objects.filter(pk=account_id).update(
            **altered, version=F("version") + 1, updated_at=Now()
        )
    return account(account_id)


def issue_key(
    *,
    account_id: UUID,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
    rate_limit: int = DEFAULT_RATE_LIMIT,
    issuer: Principal | None = None,
    key_id: UUID | None = None,
) -> IssuedKey:
    """Make a key; under `key_id`, where the caller must not make two of one wish (IntegrityError).

    Raises ScopesExceeded when `issuer`, a key itself, holds less than `scopes`, and Invalid when it
    would end before it begins or live on after `issuer`.
    """
    wanted = sorted(set(scopes))
    _check_scopes(wanted, issuer)
    _check_end(expires_at, issuer)
    fresh = keys.generate()
    record = ApiKey.objects.create(
        id=key_id or uuid7(),
        account_id=account_id,
        name=name,
        prefix=fresh.prefix,
        hash=fresh.hash,
        scopes=wanted,
        expires_at=expires_at,
        rate_limit=rate_limit,
    )
    record.refresh_from_db()
    return IssuedKey(record=record, plain=fresh.plain)


@transaction.atomic
def rotate_key(
    *, account_id: UUID, key_id: UUID, overlap_seconds: int, issuer: Principal | None = None
) -> IssuedKey:
    """A new key like this one; the old one works for `overlap_seconds` more.

    Raises ApiKeyNotFound, ApiKeyRevoked, ApiKeyRotated, ApiKeyExpired, and ScopesExceeded as
    `issue_key` does.
    """
    old = _locked(account_id, key_id)
    if old.rotated_at is not None:
        raise ApiKeyRotated(
            "The key has been rotated before; use or rotate the one that it became."
        )
    if old.expires_at is not None and old.expires_at <= clock.now():
        raise ApiKeyExpired("The key has ended; issue a new one.")
    issued = issue_key(
        account_id=account_id,
        name=old.name,
        scopes=old.scopes,
        expires_at=old.expires_at,
        rate_limit=old.rate_limit,
        issuer=issuer,
    )
    end = Now() + timedelta(seconds=overlap_seconds)
    ApiKey.objects.filter(pk=key_id).update(
        rotated_at=Now(), expires_at=Least(F("expires_at"), end)
    )
    transaction.on_commit(lambda: throttle.end_epoch(key_id))
    return issued


@transaction.atomic
def revoke_key(*, account_id: UUID, key_id: UUID) -> None:
    """End a key now; raises ApiKeyNotFound, and ApiKeyRevoked when that was done before."""
    old = _locked(account_id, key_id)
    ApiKey.objects.filter(pk=old.pk).update(revoked_at=Now())
    transaction.on_commit(lambda: throttle.end_epoch(key_id))


def mark_used(key_id: UUID) -> None:
    """Note that the key was used, with at most one write a minute."""
    ApiKey.objects.filter(pk=key_id).filter(
        Q(last_used_at=None) | Q(last_used_at__lt=Now() - LAST_USED_PRECISION)
    ).update(last_used_at=Now())


def _locked(account_id: UUID, key_id: UUID) -> ApiKey:
    ApiKey.objects.select_for_update().filter(pk=key_id, account_id=account_id).first()
    record = api_key(account_id, key_id)
    if record.revoked_at is not None:
        raise ApiKeyRevoked("The key has been revoked; issue a new one.")
    return record


def _check_scopes(wanted: list[str], issuer: Principal | None) -> None:
    faults = [
        Fault("/scopes", "unknown_scope", f"There is no scope {scope}.")
        for scope in wanted
        if scope not in SCOPES
    ] or [
        Fault("/scopes", "scope_not_held", f"Your key does not hold {scope} itself.")
        for scope in wanted
        if issuer is not None and not issuer.may(scope)
    ]
    if faults:
        raise ScopesExceeded("A key can only be given scopes that yours holds.", faults=faults)


def _check_end(wanted: datetime | None, issuer: Principal | None) -> None:
    if wanted is not None and wanted <= clock.now():
        fault = Fault("/expires_at", "in_the_past", "Send a time that is still to come, or none.")
        raise Invalid("The key would end before it begins.", faults=[fault])
    if issuer is None:
        return
    end = ApiKey.objects.values_list("expires_at", flat=True).get(pk=issuer.key_id)
    if end is not None and (wanted is None or wanted > end):
        fault = Fault("/expires_at", "outlives_issuer", f"Send {rfc3339(end)} or an earlier time.")
        raise Invalid("A key with an end makes none that outlives it.", faults=[fault])
