"""The environment, read once and typed. Nothing else in the project reads os.environ.

A value is looked for in the process environment, then in `.env`, then in what `make run` keeps under
`DATA_DIR`: `local.env` (generated secrets) and `services.env` (addresses of the embedded services).
"""

from ipaddress import ip_network
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parents[2]

env = environ.Env()
env.read_env(BASE_DIR / ".env")
DATA_DIR = (BASE_DIR / env.str("DATA_DIR", default="var")).resolve()
env.read_env(DATA_DIR / "local.env")
env.read_env(DATA_DIR / "services.env")

DEBUG = env.bool("DEBUG", default=False)
# True when users reach us over TLS: cookies become secure and HSTS is sent.
HTTPS = env.bool("HTTPS", default=False)
# How many proxies stand in front, each adding to X-Forwarded-For whom it was asked by.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)
# True when nobody signs in to the back office with a password alone.
REQUIRE_SECOND_FACTOR = env.bool("REQUIRE_SECOND_FACTOR", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="")
# Fernet keys, newest first: the first encrypts, all decrypt.
ENCRYPTION_KEYS: list[str] = env.list("ENCRYPTION_KEYS", default=[])
DATABASE_URL = env.str("DATABASE_URL", default="")
REDIS_URL = env.str("REDIS_URL", default="")
BROKER_URL = env.str("BROKER_URL", default=REDIS_URL)
# The loopback names are always among them: health checks and the supervisor ask there.
ALLOWED_HOSTS = [*env.list("ALLOWED_HOSTS", default=[]), "127.0.0.1", "localhost", "[::1]"]
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])
PORT = env.int("PORT", default=8000)
BASE_URL = env.str("BASE_URL", default=f"http://127.0.0.1:{PORT}")
# Connections that one process may hold to PostgreSQL; at least its number of threads.
DATABASE_POOL_SIZE = env.int("DATABASE_POOL_SIZE", default=16)
LOG_FORMAT = env.str("LOG_FORMAT", default="console")
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
# Where e-mail goes: smtp+tls://user:password@host:587; the default prints it into the worker's log.
EMAIL_URL: dict[str, object] = env.email_url("EMAIL_URL", default="consolemail://")
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Tradepost <tradepost@localhost>")
# How many days after its issue an invoice is due.
INVOICE_PAYMENT_DAYS = env.int("INVOICE_PAYMENT_DAYS", default=14)
# Networks (CIDR) that the guard on outgoing requests lets through although they are not public.
OUTGOING_ALLOWED_NETWORKS = [
    ip_network(cidr, strict=False) for cidr in env.list("OUTGOING_ALLOWED_NETWORKS", default=[])
]
# The token of accounts that have none of their own; HubSpot's address, or a simulator's.
HUBSPOT_ACCESS_TOKEN = env.str("HUBSPOT_ACCESS_TOKEN", default="")
HUBSPOT_BASE_URL = env.str("HUBSPOT_BASE_URL", default="") or "https://api.hubapi.com"
# The part of HubSpot's paths that names their version: `v3` until September 2027, or a date (2026-09).
HUBSPOT_API_VERSION = env.str("HUBSPOT_API_VERSION", default="v3")
# Of the HubSpot app whose webhooks come here: what it signs them with. Without it all are refused.
HUBSPOT_CLIENT_SECRET = env.str("HUBSPOT_CLIENT_SECRET", default="")

_REQUIRED = {
    "SECRET_KEY": SECRET_KEY,
    "ENCRYPTION_KEYS": ENCRYPTION_KEYS,
    "DATABASE_URL": DATABASE_URL,
    "REDIS_URL": REDIS_URL,
}
_MISSING = [name for name, value in _REQUIRED.items() if not value]
if _MISSING:
    raise ImproperlyConfigured(
        f"{', '.join(_MISSING)} must be set: run `make run` first, which makes them for this machine, "
        "or set them in the environment or in .env (see .env.example)."
    )
