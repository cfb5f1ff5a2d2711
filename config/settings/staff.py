"""Staff: how they sign in, for how long, and who is kept out for guessing."""

from datetime import timedelta
from typing import Any

from config.settings import env

TRUSTED_PROXIES = env.TRUSTED_PROXIES
REQUIRE_SECOND_FACTOR = env.REQUIRE_SECOND_FACTOR

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # refuses who is locked out
    "django.contrib.auth.backends.ModelBackend",
]

AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# A working day; nothing prolongs it.
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
# Not Strict: a link in an e-mail would open as if nobody were signed in.
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"

# Five wrong passwords for one name from one address: fifteen minutes. It is counted in PostgreSQL, and
# goes by name and address, so that nobody can keep another person out from elsewhere.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
# And fifty from one address, for whichever names: an office has room for some who mistype.
FAILURES_OF_AN_ADDRESS = 50
AXES_HANDLER = "apps.accounts.signin.lockout.LockoutHandler"
# Trying on while locked out makes it no longer.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "apps.common.security.client_address"
AXES_LOCKOUT_CALLABLE = "apps.accounts.signin.views.locked_out"
# What is kept of a failed sign-in's form; passwords are masked anyway.
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken"]
AXES_ENABLE_ADMIN = False  # apps.accounts.admin has pages of our own for it
AXES_VERBOSE = False
