"""The back office's pages of data fetch, loaded by Django's autodiscovery. Secrets are shown to nobody."""

from apps.datafetch.admin import readers, runs, streams

__all__ = ["readers", "runs", "streams"]
