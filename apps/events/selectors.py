"""The feed: what an account may see, by position. Its own events, those it is named on, and those of
the channels it is a member of now."""

from collections.abc import Sequence
from uuid import UUID

from django.db.models import Q, QuerySet

from apps.events.errors import EventNotFound
from apps.events.models import ChannelMember, Event, Reader
from apps.events.patterns import like

# Three index ranges, each cut at the limit before they are merged: the cost of a page does not grow
# with the log.
_FEED = """
WITH seen(id, position) AS (
  (SELECT e.id, e.position FROM events_event e
    WHERE e.account_id = %(account)s AND e.position > %(after)s AND {types}
    ORDER BY e.position LIMIT %(limit)s)
  UNION
  (SELECT e.id, e.position FROM events_reader r JOIN events_event e ON e.id = r.event_id
    WHERE r.account_id = %(account)s AND r.position > %(after)s AND {types}
    ORDER BY r.position LIMIT %(limit)s)
  UNION
  (SELECT c.id, c.position FROM events_channelmember m CROSS JOIN LATERAL (
      SELECT e.id, e.position FROM events_event e
       WHERE e.channel_id = m.channel_id AND e.position > %(after)s AND {types}
       ORDER BY e.position LIMIT %(limit)s) c
    WHERE m.account_id = %(account)s)
)
SELECT e.* FROM (SELECT id FROM seen ORDER BY position LIMIT %(limit)s) s
JOIN events_event e ON e.id = s.id ORDER BY e.position
"""


def feed(
    *, account_id: UUID, after: int, limit: int, types: Sequence[str] | None = None
) -> list[Event]:
    """The next `limit` events after position `after` that the account may see now, in order.

    `types` are patterns as in `apps.events.patterns`; None lets everything through.
    """
    parameters: dict[str, object] = {"account": account_id, "after": after, "limit": limit}
    condition = "TRUE"
    if types is not None:
        condition = "e.type LIKE ANY(%(types)s)"
        parameters["types"] = [like(pattern) for pattern in types]
    return list(Event.objects.raw(_FEED.format(types=condition), parameters))


def visible_events(account_id: UUID) -> "QuerySet[Event]":
    """Stamped events that the account may see now; for single look-ups."""
    channels = ChannelMember.objects.filter(account_id=account_id).values("channel_id")
    named = Reader.objects.filter(account_id=account_id).values("event_id")
    return Event.objects.filter(position__isnull=False).filter(
        Q(account_id=account_id) | Q(channel_id__in=channels) | Q(pk__in=named)
    )


def visible_event(account_id: UUID, event_id: UUID) -> Event:
    """One event that the account may see now; raises EventNotFound."""
    found = visible_events(account_id).filter(pk=event_id).first()
    if found is None:
        raise EventNotFound("There is no such event, or your account may not see it.")
    return found
