"""Notices that change nothing here, recognised many at a time: above all those of our own updates.

HubSpot tells of every property that we write there, so 10,000 customers sent are 10,000 notices and more
that come back. They are told from others by what is known of their contacts, in a few statements for
hundreds of them; nobody is woken, and there is no event. What is left may change something, and is
dealt with one by one.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import orjson
from django.db import connection, transaction
from django.db.models.functions import Now

from apps.common.retries import retried
from apps.crm import selectors
from apps.crm.enums import NoticeKind, NoticeOutcome, SyncState
from apps.crm.models import Contact, Customer, Notice, Portal
from apps.crm.services.mapping import EMAIL, targets, wanted_of

# How long a notice waits for the number of a portal that cannot be asked, and when it is looked at again.
IDENTIFIED_WITHIN = timedelta(minutes=10)
ASK_AGAIN = timedelta(seconds=15)
# And for a call under way, whose outcome would be written over it.
AFTER_CALL = timedelta(seconds=2)

_NOTE_TIMES = """
UPDATE crm_contact AS c SET property_times = c.property_times || (
    SELECT jsonb_object_agg(t.key, greatest(t.value::bigint, (c.property_times->>t.key)::bigint))
      FROM jsonb_each_text(v.times) t)
  FROM jsonb_to_recordset(%s::jsonb) AS v(id uuid, times jsonb)
 WHERE c.id = v.id
"""


@retried
@transaction.atomic
def settle_known(pks: Sequence[UUID]) -> list[UUID]:
    """Be done with those of these notices that tell nothing new; returns the others that are due, oldest
    first."""
    _put_off_unidentified(pks)
    rows = Notice.objects.select_for_update(skip_locked=True).filter(pk__in=pks, due_at__lte=Now())
    notices = list(rows.order_by("occurred_at", "pk"))
    known = _Known(notices)
    settled: dict[NoticeOutcome, list[UUID]] = defaultdict(list)
    times: dict[UUID, dict[str, int]] = defaultdict(dict)
    left: list[UUID] = []
    waiting: list[UUID] = []
    for notice in notices:
        outcome = known.outcome(notice)
        if outcome is None:
            (waiting if known.is_under_way(notice) else left).append(notice.pk)
            continue
        settled[outcome].append(notice.pk)
        if outcome == NoticeOutcome.UNCHANGED:
            for contact in known.holders(notice):
                times[contact.pk][notice.property_name] = notice.told_ms
    for outcome, these in settled.items():
        Notice.objects.filter(pk__in=these).update(due_at=None, outcome=outcome, value="")
    Notice.objects.filter(pk__in=waiting).update(due_at=Now() + AFTER_CALL)
    _note_times(times)
    return left


def _put_off_unidentified(pks: Sequence[UUID]) -> None:
    """While a token in use may lead to the very account that a young notice is about."""
    if selectors.unidentified_portals():
        young = Notice.objects.filter(pk__in=pks, received_at__gt=Now() - IDENTIFIED_WITHIN)
        young.update(due_at=Now() + ASK_AGAIN)


def _note_times(times: dict[UUID, dict[str, int]]) -> None:
    """So that what HubSpot had before, and tells later, is known to be older."""
    rows = [{"id": str(pk), "times": told} for pk, told in times.items()]
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_NOTE_TIMES, [orjson.dumps(rows).decode()])


class _Known:
    """What is known here of the contacts of some notices."""

    def __init__(self, notices: Sequence[Notice]) -> None:
        portals = Portal.objects.filter(hub_id__in={one.hub_id for one in notices})
        self._hubs = dict(portals.values_list("pk", "hub_id"))
        rows = Contact.objects.filter(
            contact_id__in={one.contact_id for one in notices}, portal_key__in=list(self._hubs)
        )
        locked = rows.select_for_update(of=("self",), no_key=True).select_related("customer")
        self._holders: dict[tuple[int, str], list[Contact]] = defaultdict(list)
        for contact in locked.order_by("pk"):
            hub_id = self._hubs[contact.portal_key] or 0
            self._holders[hub_id, contact.contact_id or ""].append(contact)
        self._leased = set(rows.filter(lease_until__gt=Now()).values_list("pk", flat=True))
        accounts = {one.account_id for held in self._holders.values() for one in held}
        lines = {pk: selectors.line(pk) for pk in accounts}
        self._mappings = {pk: line.mapping if line else {} for pk, line in lines.items()}
        self._waited_for = _skipped_addresses(notices)

    def holders(self, notice: Notice) -> list[Contact]:
        """The contacts that it is about: one in each account that has it."""
        return self._holders.get((notice.hub_id, notice.contact_id), [])

    def is_under_way(self, notice: Notice) -> bool:
        """Whether HubSpot is being called about one of these contacts."""
        return any(contact.pk in self._leased for contact in self.holders(notice))

    def outcome(self, notice: Notice) -> NoticeOutcome | None:
        """What comes of it, if that is nothing; None when it may be something."""
        if notice.kind != NoticeKind.CHANGED:
            return None
        found = {self._outcome(notice, contact) for contact in self.holders(notice)}
        if not found:
            is_waited_for = (
                notice.property_name == EMAIL
                and selectors.normalised(notice.value) in self._waited_for
            )
            return None if is_waited_for else NoticeOutcome.UNKNOWN
        return found.pop() if len(found) == 1 else None

    def _outcome(self, notice: Notice, contact: Contact) -> NoticeOutcome | None:
        name, mapping = notice.property_name, self._mappings[contact.account_id]
        if name not in targets(mapping):
            return NoticeOutcome.UNMAPPED
        if notice.told_ms < contact.property_times.get(name, 0):
            return NoticeOutcome.OLDER
        own = wanted_of([contact.customer], mapping)[contact.pk].get(name, "")
        is_certain = name not in (contact.sending or {})
        has_it = notice.value == own == contact.acknowledged.get(name, "")
        return NoticeOutcome.UNCHANGED if has_it and is_certain else None


def _skipped_addresses(notices: Sequence[Notice]) -> set[str | None]:
    """Those of the addresses told of for which a customer waits whom HubSpot did not know."""
    told = {
        selectors.normalised(one.value)
        for one in notices
        if one.kind == NoticeKind.CHANGED and one.property_name == EMAIL
    }
    waiting = Customer.objects.filter(email__in=told, contact__state=SyncState.SKIPPED)
    return set(waiting.values_list("email", flat=True))
