"""Settings of the workers: those of all others, without what only pages and the API are made with."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS as _ALL_APPS

_INSTEAD: dict[str, str | None] = {
    "django.contrib.admin": "django.contrib.admin.apps.SimpleAdminConfig",  # its table, no pages
    "unfold": None,
    "whitenoise.runserver_nostatic": None,
    "django.contrib.staticfiles": None,
    "rest_framework": None,
    "drf_spectacular": None,
    "drf_spectacular_sidecar": None,
}
INSTALLED_APPS = [name for app in _ALL_APPS if (name := _INSTEAD.get(app, app))]
