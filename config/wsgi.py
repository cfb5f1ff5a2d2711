"""The WSGI entry point that granian serves."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from apps.common.garbage import spare_what_is_loaded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()
_ = get_resolver().url_patterns  # loads all views now, not with the first request
spare_what_is_loaded()
