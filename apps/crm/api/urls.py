from django.urls import path

from apps.crm.api import connection_views, erasure_views, inbound_views, views

urlpatterns = [
    path("customers", views.CustomersView.as_view()),
    path("customers/by-external-id/<path:external_id>", views.CustomerByExternalIdView.as_view()),
    path("customers/<uuid:customer_id>", views.CustomerView.as_view()),
    path("customers/<uuid:customer_id>/erase", erasure_views.CustomerErasureView.as_view()),
    path("customers/<uuid:customer_id>/sync", views.CustomerSyncView.as_view()),
    path("hubspot/webhooks", inbound_views.HubSpotWebhooksView.as_view()),
    path("crm/connection/check", connection_views.ConnectionCheckView.as_view()),
    path("crm/connection", connection_views.ConnectionView.as_view()),
]
