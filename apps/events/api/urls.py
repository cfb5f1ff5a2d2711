from django.urls import path

from apps.events.api import views

urlpatterns = [
    path("events", views.EventsView.as_view()),
    path("events/<uuid:event_id>", views.EventView.as_view()),
    path("event-types", views.EventTypesView.as_view()),
]
