"""Django itself: apps, middleware, database, static files, security."""

from typing import Any

from config.settings import env
from config.settings.env import BASE_DIR

DEBUG = env.DEBUG
SECRET_KEY = env.SECRET_KEY
ALLOWED_HOSTS = env.ALLOWED_HOSTS
CSRF_TRUSTED_ORIGINS = env.CSRF_TRUSTED_ORIGINS
ENCRYPTION_KEYS = env.ENCRYPTION_KEYS
REDIS_URL = env.REDIS_URL
BASE_URL = env.BASE_URL
METRICS_TOKEN = env.METRICS_TOKEN
OUTGOING_ALLOWED_NETWORKS = env.OUTGOING_ALLOWED_NETWORKS
HUBSPOT_ACCESS_TOKEN = env.HUBSPOT_ACCESS_TOKEN
HUBSPOT_BASE_URL = env.HUBSPOT_BASE_URL
HUBSPOT_API_VERSION = env.HUBSPOT_API_VERSION
HUBSPOT_CLIENT_SECRET = env.HUBSPOT_CLIENT_SECRET
INVOICE_PAYMENT_DAYS = env.INVOICE_PAYMENT_DAYS

INSTALLED_APPS = [
    "unfold",  # its templates go before those of the admin
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "apps.common",
    "apps.accounts",
    "apps.events",
    "apps.orders",
    "apps.deals",
    "apps.datafetch",
    "apps.crm",
    "apps.webhooks",
    "apps.backoffice",
]

MIDDLEWARE = [
    "apps.common.middleware.RequestIdMiddleware",
    "apps.common.api.framing.FramingMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "apps.common.api.door.ApiMiddleware",  # what follows is for pages alone
    "apps.common.security.PagePolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",  # shows who is locked out a page that says so
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False  # the API has no trailing slashes; the admin adds its own
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        **env.env.db_url_config(env.DATABASE_URL),
        "ENGINE": "apps.common.postgresql",  # looks whether a pooled connection still lives
        "CONN_MAX_AGE": 0,  # the pool keeps connections, not the request
        "OPTIONS": {
            "pool": {"min_size": 1, "max_size": env.DATABASE_POOL_SIZE, "timeout": 5},
            # Limits that hold in every process and on every Celery pool, in milliseconds.
            "options": (
                "-c statement_timeout=30000 -c lock_timeout=4000"
                " -c idle_in_transaction_session_timeout=30000"
            ),
        },
    }
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

EMAIL_BACKEND = env.EMAIL_URL["EMAIL_BACKEND"]
if EMAIL_BACKEND == "django.core.mail.backends.console.EmailBackend":
    EMAIL_BACKEND = "apps.common.consolemail.EmailBackend"  # the same, attachments in a line each
EMAIL_HOST = env.EMAIL_URL["EMAIL_HOST"]
EMAIL_PORT = env.EMAIL_URL["EMAIL_PORT"]
EMAIL_HOST_USER = env.EMAIL_URL["EMAIL_HOST_USER"]
EMAIL_HOST_PASSWORD = env.EMAIL_URL["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS = env.EMAIL_URL.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = env.EMAIL_URL.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10  # seconds
DEFAULT_FROM_EMAIL = env.DEFAULT_FROM_EMAIL

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # bytes; a larger body is refused with 413
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000

SECURE_SSL_REDIRECT = env.HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if env.HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.HTTPS
SECURE_HSTS_PRELOAD = env.HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.HTTPS else None
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "apps.common.api.problems.csrf_failed"
SILENCED_SYSTEM_CHECKS: list[str] = []
