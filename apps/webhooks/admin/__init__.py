"""The back office's pages of the webhooks app. Secrets are shown to nobody."""

from apps.webhooks.admin import deliveries, endpoints, replays

__all__ = ["deliveries", "endpoints", "replays"]
