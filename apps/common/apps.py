from django.apps import AppConfig
from django.core.cache import close_caches
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries


class CommonConfig(AppConfig):
    name = "apps.common"

    def ready(self) -> None:
        # What Django does around every request and we have no use for: the one before has given its
        # connection back to the pool, and there is no cache (docs/adr/0031).
        request_started.disconnect(close_old_connections)
        request_started.disconnect(reset_queries)
        request_finished.disconnect(close_caches)
