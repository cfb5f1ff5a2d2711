"""How accounts and keys look to their owners."""

from typing import Any

from apps.accounts.enums import SCOPES
from apps.accounts.models import Account, ApiKey
from apps.common.clock import rfc3339
from apps.common.schemas import (
    array,
    component,
    enum,
    integer,
    nullable,
    number,
    obj,
    string,
    timestamp,
    uuid,
)

_ACCOUNT = {
    "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9e01",
    "slug": "storefront",
    "name": "Demo Storefront",
    "legal_name": "Demo Storefront Ltd",
    "address": "12 St James's Square\nLondon SW1Y 4JH",
    "email": "",
    "tax_id": "GB123456789",
    "tax_rate": 20.0,
    "version": 2,
    "created_at": "2026-11-21T09:30:00.000000Z",
    "updated_at": "2026-11-21T09:35:00.000000Z",
}
_CURRENT_KEY = {
    "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9e02",
    "prefix": "tp_x4k9m2qa",
    "name": "Bookkeeping",
    "scopes": ["accounts:read"],
    "expires_at": None,
}
_KEY = {
    **_CURRENT_KEY,
    "rate_limit": 600,
    "last_used_at": None,
    "revoked_at": None,
    "created_at": "2026-11-21T09:30:00.000000Z",
}

ACCOUNT = component(
    "Account",
    obj(
        {
            "id": uuid(),
            "slug": string("Short name, unique in the installation."),
            "name": string(),
            "legal_name": string("For invoices."),
            "address": string("For invoices."),
            "email": string(),
            "tax_id": string("For invoices."),
            "tax_rate": number("Percent, for invoices."),
            "version": integer(),
            "created_at": timestamp(),
            "updated_at": timestamp(),
        }
    ),
    example=_ACCOUNT,
)

_KEY_PROPERTIES = {
    "id": uuid(),
    "prefix": string("The readable start of the key."),
    "name": string(),
    "scopes": array(enum(list(SCOPES))),
    "expires_at": nullable(timestamp()),
}

CURRENT_KEY = component("CurrentApiKey", obj(_KEY_PROPERTIES), example=_CURRENT_KEY)

API_KEY_PROPERTIES = _KEY_PROPERTIES | {
    "rate_limit": integer("Calls a minute."),
    "last_used_at": nullable(timestamp("To about a minute.")),
    "revoked_at": nullable(timestamp()),
    "created_at": timestamp(),
}

API_KEY = component("ApiKey", obj(API_KEY_PROPERTIES), example=_KEY)

ISSUED_KEY = component(
    "IssuedApiKey",
    obj(API_KEY_PROPERTIES | {"api_key": nullable(string("Shown this once; null in a replay."))}),
    example={**_KEY, "api_key": "tp_x4k9m2qa_…"},
)

ME = component(
    "Me",
    obj({"account": ACCOUNT, "key": CURRENT_KEY}),
    example={"account": _ACCOUNT, "key": _CURRENT_KEY},
)


def account_object(account: Account) -> dict[str, Any]:
    return {
        "id": str(account.id),
        "slug": account.slug,
        "name": account.name,
        "legal_name": account.legal_name,
        "address": account.address,
        "email": account.email,
        "tax_id": account.tax_id,
        "tax_rate": float(account.tax_rate),
        "version": account.version,
        "created_at": rfc3339(account.created_at),
        "updated_at": rfc3339(account.updated_at),
    }


def current_key_object(key: ApiKey) -> dict[str, Any]:
    return {
        "id": str(key.id),
        "prefix": key.prefix,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "expires_at": key.expires_at and rfc3339(key.expires_at),
    }


def api_key_object(key: ApiKey) -> dict[str, Any]:
    return {
        **current_key_object(key),
        "rate_limit": key.rate_limit,
        "last_used_at": key.last_used_at and rfc3339(key.last_used_at),
        "revoked_at": key.revoked_at and rfc3339(key.revoked_at),
        "created_at": rfc3339(key.created_at),
    }
