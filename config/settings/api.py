"""The REST API: DRF and the OpenAPI schema."""

import json
from typing import Any

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apps.accounts.authentication.ApiKeyAuthentication"],
    "DEFAULT_SCHEMA_CLASS": "apps.common.api.openapi.ApiSchema",
    "EXCEPTION_HANDLER": "apps.common.api.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "COERCE_DECIMAL_TO_STRING": False,
}

_DESCRIPTION = """
Orders that never oversell, deals for authorised buyers, signed webhooks and an event feed.

**Try it.** `make run` prints a key for each demo account, and `var/demo.json` keeps them.

1. Press **Authorize**, paste the key of `storefront` under *ApiKey*, press *Authorize*, then *Close*.
2. Open these and press **Execute**, as they stand: [make a storefront](#/Storefronts/create_storefront),
   [make a product](#/Products/create_product), [place an order](#/Orders/place_order),
   [read the event feed](#/Events/list_events).
3. With the key of `seller`: [authorize a buyer](#/Authorizations/grant_authorization),
   [publish a deal](#/Deals/create_deal). With that of `buyer`: [list deals](#/Deals/list_deals).

Money is an integer in the currency's minor unit. Errors are RFC 9457 `application/problem+json`;
[/api/problems](/api/problems) explains each code.
""".strip()

_SWAGGER_UI = {
    "deepLinking": True,
    "persistAuthorization": True,
    "displayRequestDuration": True,
    "tryItOutEnabled": True,
    "filter": True,
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Tradepost API",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "DESCRIPTION": _DESCRIPTION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    # As JavaScript, for the sake of its function: spectacular's own adds a CSRF token to each call, which
    # an API without cookies has no use for and which would show in every curl command.
    "SWAGGER_UI_SETTINGS": f"{{ ...{json.dumps(_SWAGGER_UI)}, requestInterceptor: (request) => request }}",
    "COMPONENT_SPLIT_REQUEST": True,
    "SORT_OPERATIONS": True,
    "POSTPROCESSING_HOOKS": [
        "apps.common.api.openapi.add_components",
        "apps.events.api.openapi.add_webhooks",
    ],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "TAGS": [
        {"name": "Account", "description": "Who this key is; API keys."},
        {"name": "Storefronts", "description": "Where orders come from."},
        {"name": "Products", "description": "What is sold, and its stock."},
        {
            "name": "Orders",
            "description": "Placed with their stock reserved in the same transaction.",
        },
        {"name": "Deals", "description": "Published by sellers to the buyers they authorised."},
        {"name": "Bids", "description": "Buyers' bids on deals, their answers, and auctions."},
        {"name": "Authorizations", "description": "Which buyers see a seller's deals."},
        {"name": "Invoices", "description": "What buyers owe for what they bought; credit notes."},
        {"name": "Customers", "description": "Customers here, contacts in HubSpot."},
        {"name": "Streams", "description": "Remote APIs, read on a schedule and served by offset."},
        {"name": "Webhooks", "description": "Endpoints, signed deliveries and their attempts."},
        {
            "name": "Events",
            "description": "The feed of everything that happened, in gap-free order.",
        },
    ],
}
