"""The environment of a test process, set before Django's settings read it (`-p` in pyproject.toml).

Each pytest-xdist worker has a test database of its own (pytest-django sees to that); here it gets a
Redis database of its own too, so that workers can flush theirs between tests.
"""

import os
from urllib.parse import urlsplit

REDIS_DATABASES = 16  # what Valkey has when nothing else is configured


def _prepare(environ: "os._Environ[str]") -> None:
    worker = environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    number = int(worker)
    if number >= REDIS_DATABASES:
        raise RuntimeError(f"Valkey has {REDIS_DATABASES} databases: use fewer workers (-n).")
    if "REDIS_URL" not in environ:
        raise RuntimeError(
            "Tests run on services of their own: `make test`, or see CONTRIBUTING.md."
        )
    environ["REDIS_URL"] = urlsplit(environ["REDIS_URL"])._replace(path=f"/{number}").geturl()
    environ["BROKER_URL"] = environ["REDIS_URL"]
    environ["HTTPS"] = environ["DEBUG"] = "false"  # whatever a developer's .env says
    environ["DATABASE_POOL_SIZE"] = "40"  # for `concurrently`
    environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    environ["HUBSPOT_BASE_URL"] = "http://127.0.0.1:1"  # nobody; tests of the CRM set a simulator's
    environ["HUBSPOT_ACCESS_TOKEN"] = ""


_prepare(os.environ)
