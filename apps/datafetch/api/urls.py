from django.urls import path

from apps.datafetch.api import consumer_views, preview_views, record_views, remap_views, views

urlpatterns = [
    path("streams", views.StreamsView.as_view()),
    path("streams/preview", preview_views.PreviewView.as_view()),
    path("streams/start", views.StartAllView.as_view()),
    path("streams/stop", views.StopAllView.as_view()),
    path("streams/<uuid:stream_id>", views.StreamView.as_view()),
    path("streams/<uuid:stream_id>/start", views.StartView.as_view()),
    path("streams/<uuid:stream_id>/stop", views.StopView.as_view()),
    path("streams/<uuid:stream_id>/run", views.RunNowView.as_view()),
    path("streams/<uuid:stream_id>/remap", remap_views.RemapView.as_view()),
    path("streams/<uuid:stream_id>/runs", views.RunsView.as_view()),
    path("streams/<uuid:stream_id>/runs/<uuid:run_id>", views.RunView.as_view()),
    path("streams/<uuid:stream_id>/records", record_views.RecordsView.as_view()),
    path("streams/<uuid:stream_id>/schemas", record_views.SchemasView.as_view()),
    path("streams/<uuid:stream_id>/rejected", record_views.RejectedView.as_view()),
    path("streams/<uuid:stream_id>/consumers", consumer_views.ConsumersView.as_view()),
    path(
        "streams/<uuid:stream_id>/consumers/<str:consumer>", consumer_views.ConsumerView.as_view()
    ),
    path(
        "streams/<uuid:stream_id>/consumers/<str:consumer>/commit",
        consumer_views.CommitView.as_view(),
    ),
    path(
        "streams/<uuid:stream_id>/consumers/<str:consumer>/seek", consumer_views.SeekView.as_view()
    ),
]
