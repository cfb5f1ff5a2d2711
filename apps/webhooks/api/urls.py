from django.urls import path

from apps.webhooks.api.views import deliveries, endpoints, replays

ENDPOINTS = "webhook-endpoints"
ENDPOINT = f"{ENDPOINTS}/<uuid:endpoint_id>"
REPLAY = f"{ENDPOINT}/replays/<uuid:replay_id>"
DELIVERY = "deliveries/<uuid:delivery_id>"

urlpatterns = [
    path(ENDPOINTS, endpoints.EndpointsView.as_view()),
    path(ENDPOINT, endpoints.EndpointView.as_view()),
    path(f"{ENDPOINT}/rotate-secret", endpoints.RotateSecretView.as_view()),
    path(f"{ENDPOINT}/enable", endpoints.EnableView.as_view()),
    path(f"{ENDPOINT}/test", endpoints.EndpointTestView.as_view()),
    path(f"{ENDPOINT}/deliveries", deliveries.EndpointDeliveriesView.as_view()),
    path(f"{ENDPOINT}/replays", replays.ReplaysView.as_view()),
    path(REPLAY, replays.ReplayView.as_view()),
    path(f"{REPLAY}/pause", replays.PauseReplayView.as_view()),
    path(f"{REPLAY}/resume", replays.ResumeReplayView.as_view()),
    path(f"{REPLAY}/cancel", replays.CancelReplayView.as_view()),
    path(DELIVERY, deliveries.DeliveryView.as_view()),
    path(f"{DELIVERY}/redeliver", deliveries.RedeliverView.as_view()),
]
