"""Reads of accounts and keys, each within the rows that the caller may see."""

from uuid import UUID

from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from apps.accounts.errors import AccountNotFound, ApiKeyNotFound
from apps.accounts.models import Account, ApiKey


def account(account_id: UUID) -> Account:
    """The account itself; raises AccountNotFound."""
    found = Account.objects.filter(pk=account_id).first()
    if found is None:
        raise AccountNotFound("There is no such account.")
    return found


def account_by_reference(reference: str) -> Account:
    """An account by its id or slug, as other accounts name it; raises AccountNotFound."""
    try:
        named = UUID(reference)
    except ValueError:
        named = None
    # A slug may be 32 hexadecimal digits, which Python would read as a UUID too.
    match = Q(pk=named) if named and str(named) == reference.lower() else Q(slug=reference)
    found = Account.objects.filter(match).first()
    if found is None:
        raise AccountNotFound(f"There is no account {reference!r}.")
    return found


def api_keys(account_id: UUID) -> QuerySet[ApiKey]:
    """The keys of an account, revoked ones too."""
    return ApiKey.objects.filter(account_id=account_id)


def api_key(account_id: UUID, key_id: UUID) -> ApiKey:
    """One key of an account; raises ApiKeyNotFound."""
    found = api_keys(account_id).filter(pk=key_id).first()
    if found is None:
        raise ApiKeyNotFound("There is no such key.")
    return found


def usable_key(digest: bytes) -> ApiKey | None:
    """The key of this hash, with its account, unless it is unknown, revoked or expired."""
    return (
        ApiKey.objects.select_related("account")
        .filter(hash=digest, revoked_at=None)
        .filter(Q(expires_at=None) | Q(expires_at__gt=Now()))
        .annotate(seconds_left=RawSQL("EXTRACT(EPOCH FROM expires_at - now())::float8", []))
        .first()
    )


def seconds_left(key: ApiKey) -> float:
    """How long a key from `usable_key` stays valid; infinite when it has no end."""
    left: float | None = key.seconds_left  # type: ignore[attr-defined]  # annotated by usable_key
    return float("inf") if left is None else left
