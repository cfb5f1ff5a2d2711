from django.urls import path
from django.views.generic import RedirectView

from apps.backoffice.metrics import metrics

urlpatterns = [
    path("", RedirectView.as_view(url="/api/docs/")),
    path("metrics", metrics),
]
