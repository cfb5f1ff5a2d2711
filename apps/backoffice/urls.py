from django.contrib import admin
from django.urls import path

from apps.backoffice.dashboard.page import dashboard_view
from apps.backoffice.doors import closed, search
from apps.backoffice.home import home
from apps.backoffice.metrics import metrics

urlpatterns = [
    path("", home, name="home"),
    path("admin/dashboard", dashboard_view, name="dashboard"),
    path("admin/search/", admin.site.admin_view(search)),
    path("admin/autocomplete/", closed),
    path("admin/r/<path:rest>", closed),
    path("metrics", metrics, name="metrics"),
]
