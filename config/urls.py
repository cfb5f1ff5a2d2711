"""Every address of Tradepost."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import (
    SpectacularAPIView,
    SpectacularRedocView,
    SpectacularSwaggerSplitView,
)

from apps.common.api.codes import problems_page
from apps.common.api.health import healthz, readyz

# Looked through in this order by every request: what is called most often comes first.
api_v1 = [
    path("", include("apps.orders.api.urls")),
    path("", include("apps.accounts.api.urls")),
    path("", include("apps.events.api.urls")),
    path("", include("apps.webhooks.api.urls")),
    path("", include("apps.deals.api.urls")),
    path("", include("apps.datafetch.api.urls")),
    path("", include("apps.crm.api.urls")),
]

# Their OPTIONS would be written by what writes their pages, which cannot.
_READ_ONLY = {"http_method_names": ["get", "head"]}

urlpatterns = [
    path("api/v1/", include(api_v1)),
    path("api/schema/", SpectacularAPIView.as_view(**_READ_ONLY), name="schema"),
    path(
        "api/docs/",
        SpectacularSwaggerSplitView.as_view(url_name="schema", **_READ_ONLY),
        name="docs",
    ),
    path("api/redoc/", SpectacularRedocView.as_view(url_name="schema", **_READ_ONLY), name="redoc"),
    path("api/problems", problems_page, name="problems"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("admin/", include("apps.accounts.signin.urls")),  # signing in goes before the admin's own
    path("", include("apps.backoffice.urls")),  # its page below admin/ goes before the admin's own
    path("admin/", admin.site.urls),
]

handler400 = "apps.common.api.problems.bad_request"
handler403 = "apps.common.api.problems.forbidden"
handler404 = "apps.common.api.problems.not_found"
handler500 = "apps.common.api.problems.server_error"
