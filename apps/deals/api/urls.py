from django.urls import path

from apps.deals.api.views import authorizations, deals

urlpatterns = [
    path("deals", deals.DealsView.as_view()),
    path("deals/<uuid:deal_id>", deals.DealView.as_view()),
    path("authorizations", authorizations.AuthorizationsView.as_view()),
    path("authorizations/<uuid:authorization_id>", authorizations.AuthorizationView.as_view()),
]
