from django.urls import path

from apps.deals.api import views

urlpatterns = [
    path("deals", views.DealsView.as_view()),
    path("deals/<uuid:deal_id>", views.DealView.as_view()),
    path("authorizations", views.AuthorizationsView.as_view()),
    path("authorizations/<uuid:authorization_id>", views.AuthorizationView.as_view()),
]
