from django.urls import path

from apps.webhooks.api import views

urlpatterns = [
    path("webhook-endpoints", views.EndpointsView.as_view()),
    path("webhook-endpoints/<uuid:endpoint_id>", views.EndpointView.as_view()),
    path("webhook-endpoints/<uuid:endpoint_id>/rotate-secret", views.RotateSecretView.as_view()),
    path("webhook-endpoints/<uuid:endpoint_id>/enable", views.EnableView.as_view()),
    path("webhook-endpoints/<uuid:endpoint_id>/test", views.EndpointTestView.as_view()),
    path("webhook-endpoints/<uuid:endpoint_id>/deliveries", views.EndpointDeliveriesView.as_view()),
    path("deliveries/<uuid:delivery_id>", views.DeliveryView.as_view()),
    path("deliveries/<uuid:delivery_id>/redeliver", views.RedeliverView.as_view()),
]
