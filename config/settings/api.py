"""The REST API: DRF and the OpenAPI schema."""

from typing import Any

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apps.accounts.authentication.ApiKeyAuthentication"],
    "DEFAULT_SCHEMA_CLASS": "apps.common.api.openapi.ApiSchema",
    "EXCEPTION_HANDLER": "apps.common.api.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Tradepost API",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "DESCRIPTION": (
        "The back office of a business that sells: orders that never oversell, deals for authorised "
        "buyers, signed webhooks and an event feed. Authorise with an API key (`make run` prints demo "
        "keys) and try each call. Money is an integer in the currency's minor unit. Errors are "
        "RFC 9457 `application/problem+json`; [/api/problems](/api/problems) explains each code."
    ),
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {
        "deepLinking": True,
        "persistAuthorization": True,
        "displayRequestDuration": True,
        "tryItOutEnabled": True,
        "filter": True,
    },
    "COMPONENT_SPLIT_REQUEST": True,
    "SORT_OPERATIONS": True,
    "POSTPROCESSING_HOOKS": ["apps.common.api.openapi.add_components"],
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
        {"name": "Authorizations", "description": "Which buyers see a seller's deals."},
        {"name": "Webhooks", "description": "Endpoints, signed deliveries and their attempts."},
        {
            "name": "Events",
            "description": "The feed of everything that happened, in gap-free order.",
        },
    ],
}
