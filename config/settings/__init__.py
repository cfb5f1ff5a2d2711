"""Tradepost's settings, one module a concern; environment variables are read in `env` alone."""

from config.settings.api import *  # noqa: F403 - Django reads settings as the names of one module
from config.settings.backoffice import *  # noqa: F403
from config.settings.base import *  # noqa: F403
from config.settings.jobs import *  # noqa: F403
from config.settings.logs import *  # noqa: F403
from config.settings.staff import *  # noqa: F403
