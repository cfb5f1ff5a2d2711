"""Who am I, and the keys of my account."""

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from apps.accounts import selectors, services
from apps.accounts.api.representations import (
    API_KEY,
    ISSUED_KEY,
    ME,
    account_object,
    api_key_object,
    current_key_object,
)
from apps.accounts.api.serializers import AccountInput, ApiKeyInput, ApiKeyRotation
from apps.accounts.errors import ApiKeyExpired, ApiKeyNotFound, ApiKeyRevoked
from apps.accounts.models import Account, ApiKey
from apps.common.api.conditional import etag, if_match, not_modified
from apps.common.api.idempotency import idempotent
from apps.common.api.openapi import refusal
from apps.common.api.pagination import PageQuery, keyset_page
from apps.common.api.responses import Json, NoContent
from apps.common.api.serializers import parse_body, parse_query
from apps.common.api.views import ApiView
from apps.common.schemas import page
from apps.common.versions import require_version

_FOR_WHOM = """No demo key holds `accounts:write`. This prints one that does:

```sh
.venv/bin/python manage.py issue_key --account storefront --scopes "accounts:write"
```"""
_DETAILS = OpenApiExample(
    "For invoices",
    value={
        "legal_name": "Demo Storefront Ltd",
        "address": "12 St James's Square\nLondon SW1Y 4JH",
        "tax_id": "GB123456789",
        "tax_rate": 20,
    },
    request_only=True,
)
_READER = OpenApiExample(
    "A key that reads the account",
    value={"name": "Bookkeeping", "scopes": ["accounts:read"]},
    request_only=True,
)
_ENDING = OpenApiExample(
    "A key that ends by itself",
    value={
        "name": "Audit",
        "scopes": ["accounts:read"],
        "expires_at": "2036-01-01T00:00:00Z",
    },
    request_only=True,
)
_AN_HOUR = OpenApiExample(
    "An hour to change over", value={"overlap_seconds": 3600}, request_only=True
)
_NOT_FOUND = ApiKeyNotFound("There is no such key.")
_REVOKED = refusal("A revoked key", ApiKeyRevoked("The key has been revoked; issue a new one."))
_EXPIRED = refusal("A key that has ended", ApiKeyExpired("The key has ended; issue a new one."))


@extend_schema(tags=["Account"])
class MeView(ApiView):
    """The account and key of the caller."""

    method_scopes = {"GET": None, "HEAD": None, "PATCH": "accounts:write"}
    is_object = True

    @extend_schema(operation_id="me", summary="Who am I?", responses={200: ME})
    def get(self, request: Request) -> HttpResponse:
        account = selectors.account(self.principal.account_id)
        key = selectors.api_key(account.id, self.principal.key_id)
        return not_modified(request, _tag(account, key)) or _me(account, key)

    @extend_schema(
        operation_id="update_me",
        summary="Change my account's details",
        description=_FOR_WHOM,
        request=AccountInput,
        examples=[_DETAILS],
        responses={200: ME},
    )
    def patch(self, request: Request) -> HttpResponse:
        current = selectors.account(self.principal.account_id)
        expected = if_match(request)
        # Before the body is read: one made from an older version is stale rather than invalid.
        require_version(current.version, expected)
        changes = parse_body(AccountInput, request, current=account_object(current), partial=True)
        account = services.update_account(account_id=current.id, changes=changes, expected=expected)
        return _me(account, selectors.api_key(account.id, self.principal.key_id))


def _tag(account: Account, key: ApiKey) -> str:
    # Of a key, only its end ever changes.
    return etag(account.version, key.id, key.expires_at and int(key.expires_at.timestamp()))


def _me(account: Account, key: ApiKey) -> Json:
    return Json(
        {"account": account_object(account), "key": current_key_object(key)},
        headers={"ETag": _tag(account, key)},
    )


@extend_schema(tags=["Account"])
class ApiKeysView(ApiView):
    """The keys of the caller's account."""

    scope = "accounts"
    secret_fields = ("api_key",)

    @extend_schema(
        operation_id="list_api_keys",
        summary="List API keys",
        parameters=[PageQuery],
        responses={200: page(API_KEY)},
    )
    def get(self, request: Request) -> HttpResponse:
        query = parse_query(PageQuery, request)
        return keyset_page(
            request, selectors.api_keys(self.principal.account_id), api_key_object, query
        )

    @extend_schema(
        operation_id="issue_api_key",
        summary="Issue an API key",
        description=(
            f"The answer shows the key, this once. It can hold no scope that yours lacks.\n\n{_FOR_WHOM}"
        ),
        request=ApiKeyInput,
        examples=[_READER, _ENDING],
        responses={201: ISSUED_KEY},
    )
    @idempotent
    def post(self, request: Request) -> HttpResponse:
        body = parse_body(ApiKeyInput, request)
        issued = services.issue_key(
            account_id=self.principal.account_id, issuer=self.principal, **body
        )
        return _issued(issued)


@extend_schema(tags=["Account"])
class ApiKeyView(ApiView):
    """One key."""

    scope = "accounts"
    not_found = _NOT_FOUND
    has_versions = False

    @extend_schema(
        operation_id="revoke_api_key",
        summary="Revoke an API key",
        description=(
            "It is refused from now on, in every process; should Redis be away at this moment, a "
            f"process that used it just before may take it for up to 30 s more.\n\n{_FOR_WHOM}"
        ),
        examples=[_REVOKED],
        responses={204: None},
    )
    def delete(self, request: Request, key_id: UUID) -> HttpResponse:
        services.revoke_key(account_id=self.principal.account_id, key_id=key_id)
        return NoContent()


@extend_schema(tags=["Account"])
class ApiKeyRotateView(ApiView):
    """A new key in the place of an old one."""

    scope = "accounts"
    not_found = _NOT_FOUND
    secret_fields = ("api_key",)

    @extend_schema(
        operation_id="rotate_api_key",
        summary="Rotate an API key",
        description=(
            f"A new key with the same name and scopes; the old one ends after the overlap.\n\n{_FOR_WHOM}"
        ),
        request=ApiKeyRotation,
        examples=[_AN_HOUR, _REVOKED, _EXPIRED],
        responses={201: ISSUED_KEY},
    )
    @idempotent
    def post(self, request: Request, key_id: UUID) -> HttpResponse:
        body = parse_body(ApiKeyRotation, request)
        issued = services.rotate_key(
            account_id=self.principal.account_id, key_id=key_id, issuer=self.principal, **body
        )
        return _issued(issued)


def _issued(issued: services.IssuedKey) -> Json:
    return Json({**api_key_object(issued.record), "api_key": issued.plain}, status=201)
