"""The back office's face (django-unfold): its name, colours and sidebar."""

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy

from config.settings import env

# As the logs and the API have it, so that one can be found in the other.
FORMAT_MODULE_PATH = ["config.formats"]

# Who opens the door itself, rather than a page behind it, comes to the first page behind it.
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

# Written by `seed_demo`: who opens the first page on this very machine is shown the demo's keys.
DEMO_FILE = env.DATA_DIR / "demo.json"

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Tradepost",
    "SITE_HEADER": "Tradepost",
    "SITE_SUBHEADER": "Back office",
    "SITE_SYMBOL": "storefront",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda _request: static("backoffice/favicon.svg"),
        }
    ],
    "STYLES": [lambda _request: static("backoffice/backoffice.css")],
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "ACCOUNT": {"navigation": [{"title": "Security", "link": reverse_lazy("my_security")}]},
    "DASHBOARD_CALLBACK": "apps.backoffice.dashboard.page.add_dashboard",
    "COMMAND": {"search_models": False, "show_history": True},
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": "apps.backoffice.navigation.sidebar",
    },
    "COLORS": {
        "primary": {
            "50": "oklch(98.4% .014 180.72)",
            "100": "oklch(95.3% .051 180.801)",
            "200": "oklch(91% .096 180.426)",
            "300": "oklch(85.5% .138 181.071)",
            "400": "oklch(77.7% .152 181.912)",
            "500": "oklch(60% .118 184.704)",
            "600": "oklch(51.1% .096 186.391)",
            "700": "oklch(43.7% .078 188.216)",
            "800": "oklch(38.6% .063 188.416)",
            "900": "oklch(31% .046 192.524)",
            "950": "oklch(22% .035 194.77)",
        },
    },
}
