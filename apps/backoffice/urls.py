from django.urls import path

from apps.backoffice.home import home
from apps.backoffice.metrics import metrics

urlpatterns = [
    path("", home, name="home"),
    path("metrics", metrics, name="metrics"),
]
