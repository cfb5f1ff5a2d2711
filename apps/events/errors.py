"""What can go wrong with the feed."""

from apps.common.errors import NotFound


class EventNotFound(NotFound):
    code = "event_not_found"
