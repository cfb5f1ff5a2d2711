"""How authorisations look, in answers and in events, and what can happen to them."""

from typing import Any

from apps.common.clock import rfc3339
from apps.common.schemas import component, obj, timestamp, uuid
from apps.deals.models import Authorization
from apps.events.catalogue import define

AUTHORIZATION = component(
    "Authorization",
    obj(
        {
            "id": uuid(),
            "seller": uuid("The account whose deals are seen."),
            "buyer": uuid("The account that sees them."),
            "created_at": timestamp(),
        }
    ),
    example={
        "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a55",
        "seller": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a22",
        "buyer": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a44",
        "created_at": "2026-11-21T09:30:00.000000Z",
    },
)

AUTHORIZATION_GRANTED = define(
    "authorization.granted", "A buyer sees a seller's deals from now on.", AUTHORIZATION
)
AUTHORIZATION_REVOKED = define(
    "authorization.revoked", "A buyer sees a seller's deals no longer.", AUTHORIZATION
)


def authorization_object(authorization: Authorization) -> dict[str, Any]:
    return {
        "id": str(authorization.id),
        "seller": str(authorization.seller_id),
        "buyer": str(authorization.buyer_id),
        "created_at": rfc3339(authorization.created_at),
    }
