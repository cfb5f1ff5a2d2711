from django.urls import path

from apps.accounts.api import openapi, views

__all__ = ["openapi", "urlpatterns"]  # openapi registers itself by being imported

urlpatterns = [
    path("me", views.MeView.as_view()),
    path("api-keys", views.ApiKeysView.as_view()),
    path("api-keys/<uuid:key_id>", views.ApiKeyView.as_view()),
    path("api-keys/<uuid:key_id>/rotate", views.ApiKeyRotateView.as_view()),
]
