from django.urls import path

from apps.datafetch.api import views

urlpatterns = [
    path("streams", views.StreamsView.as_view()),
    path("streams/start", views.StartAllView.as_view()),
    path("streams/stop", views.StopAllView.as_view()),
    path("streams/<uuid:stream_id>", views.StreamView.as_view()),
    path("streams/<uuid:stream_id>/start", views.StartView.as_view()),
    path("streams/<uuid:stream_id>/stop", views.StopView.as_view()),
    path("streams/<uuid:stream_id>/run", views.RunNowView.as_view()),
    path("streams/<uuid:stream_id>/runs", views.RunsView.as_view()),
    path("streams/<uuid:stream_id>/runs/<uuid:run_id>", views.RunView.as_view()),
    path("streams/<uuid:stream_id>/records", views.RecordsView.as_view()),
]
