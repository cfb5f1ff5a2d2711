"""The back office's pages of the accounts app, loaded by Django's autodiscovery."""

from apps.accounts.admin import accounts, keys, people, traces

__all__ = ["accounts", "keys", "people", "traces"]
