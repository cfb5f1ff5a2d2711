"""API keys: who calls. One database look-up at most, one Redis call, usually only the latter."""

import time
from dataclasses import dataclass

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.request import Request

from apps.accounts import keys, throttle
from apps.accounts.models import ApiKey
from apps.accounts.selectors import seconds_left, usable_key
from apps.accounts.services import mark_used
from apps.common.actor import Principal

REMEMBERED_SECONDS = 30.0
REMEMBERED_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A key as PostgreSQL knew it a moment ago, believed under one epoch and for a short time."""

    principal: Principal
    rate_limit: int
    epoch: bytes
    until: float  # time.monotonic()


_remembered: dict[bytes, _Remembered] = {}


class ApiKeyAuthentication(BaseAuthentication):
    """`X-API-Key: <key>` or `Authorization: Bearer <key>`."""

    def authenticate(self, request: Request) -> tuple[Principal, None]:
        plain = _presented(request)
        if plain is None:
            raise NotAuthenticated("Send your API key as `X-API-Key` or `Authorization: Bearer`.")
        if not keys.is_well_formed(plain):
            raise _unknown()
        digest = keys.digest(plain)
        principal, counted = _from_memory(digest)
        if principal is None:
            principal, counted = _from_database(digest, counted)
        request._request.META["tradepost.rate_limit"] = counted and counted.state
        return principal, None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="tradepost"'


def _presented(request: Request) -> str | None:
    headers = request._request.META  # `request.headers` names all of them anew
    key = headers.get("HTTP_X_API_KEY")
    if key is not None:
        return str(key).strip()
    scheme, _, token = headers.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _unknown() -> AuthenticationFailed:
    return AuthenticationFailed("The API key is unknown, expired or revoked.")


def _from_memory(digest: bytes) -> tuple[Principal | None, throttle.Counted | None]:
    """The remembered principal when its epoch still stands; and the count, if the call was counted."""
    entry = _remembered.get(digest)
    if entry is None or entry.until < time.monotonic():
        return None, None
    counted = throttle.count(entry.principal.key_id, entry.rate_limit)
    if counted is None:
        # While Redis is away a key may end unnoticed: nothing is believed that was known before.
        _remembered.clear()
    if counted is None or counted.epoch != entry.epoch:
        return None, counted
    return entry.principal, counted


def _from_database(
    digest: bytes, counted: throttle.Counted | None
) -> tuple[Principal, throttle.Counted | None]:
    key = usable_key(digest)
    if key is None:
        raise _unknown()
    # Read again under the epoch: a change between the two reads ends the epoch, and what is
    # remembered under it is then not believed.
    epoch = throttle.start_epoch(key.id)
    if epoch is not None:
        key = usable_key(digest)
        if key is None:
            raise _unknown()
    principal = Principal(
        account_id=key.account_id,
        account_slug=key.account.slug,
        key_id=key.id,
        key_prefix=key.prefix,
        scopes=frozenset(key.scopes),
    )
    if epoch is not None:
        _remember(digest, principal, key, epoch)
    mark_used(key.id)
    return principal, counted or throttle.count(key.id, key.rate_limit)


def _remember(digest: bytes, principal: Principal, key: ApiKey, epoch: bytes) -> None:
    if len(_remembered) >= REMEMBERED_KEYS:
        _remembered.clear()
    left = seconds_left(key)
    until = time.monotonic() + min(REMEMBERED_SECONDS, left)
    _remembered[digest] = _Remembered(principal, key.rate_limit, epoch, until)
