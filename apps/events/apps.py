from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class EventsConfig(AppConfig):
    name = "apps.events"

    def ready(self) -> None:
        # Every app's handlers.py registers what it listens to; the one import that is not a plain one.
        autodiscover_modules("handlers")
