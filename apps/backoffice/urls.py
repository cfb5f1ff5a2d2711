from django.urls import path

from apps.backoffice.closed import closed
from apps.backoffice.dashboard.page import dashboard_view
from apps.backoffice.home import home
from apps.backoffice.metrics import metrics

urlpatterns = [
    path("", home, name="home"),
    path("admin/dashboard", dashboard_view, name="dashboard"),
    path("admin/autocomplete/", closed),
    path("admin/r/<path:rest>", closed),
    path("metrics", metrics, name="metrics"),
]
