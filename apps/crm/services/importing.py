"""The first load: HubSpot's contacts, page by page, brought to the customers of an account.

How far it has come is a row; a page and its place commit together. Killed anywhere, the import goes on
after the last page that was taken in, by whichever worker or command looks next.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Case, DateTimeField, F, When
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common.actor import system
from apps.common.leases import claim, settle
from apps.common.retries import retried
from apps.common.wakeups import wake_on_commit
from apps.crm import selectors
from apps.crm.errors import ConnectionNotFound
from apps.crm.hubspot.answers import Answer, Fault, HubSpotError, Refused
from apps.crm.hubspot.client import HubSpot
from apps.crm.models import ContactImport
from apps.crm.selectors import Line
from apps.crm.services.adopting import Busy, Tally, adopt
from apps.crm.services.calling import NoLeave, ask, ask_patiently
from apps.crm.services.mapping import targets

IMPORT = "crm.import"
LEASE_SECONDS = 60.0
# When HubSpot may not be asked just now, and when customers of a page are on their way to it.
ASK_AGAIN = timedelta(seconds=1)
AFTER_FAILURE = timedelta(seconds=15)
_NOBODY = UUID(int=0)

log = structlog.get_logger(__name__)


@retried
@transaction.atomic
def start_import(*, account_id: UUID) -> ContactImport:
    """Go on with an account's import, or begin one when there is none under way; raises ConnectionNotFound."""
    line, _ = _connected(account_id)
    Account.objects.select_for_update(no_key=True).get(pk=account_id)
    present = ContactImport.objects.filter(pk=account_id).first()
    if present is None or present.ended_at or present.portal_key != line.portal_key:
        ContactImport.objects.filter(pk=account_id).delete()
        ContactImport.objects.create(account_id=account_id, portal_key=line.portal_key, due_at=None)
    ContactImport.objects.filter(pk=account_id).update(due_at=Now(), error="")
    wake_on_commit(IMPORT)
    return ContactImport.objects.get(pk=account_id)


@transaction.atomic
def pause_import(*, account_id: UUID) -> None:
    """Leave it where it is, until it is started again."""
    ContactImport.objects.filter(pk=account_id, ended_at=None).update(due_at=None)


def import_some(account_id: UUID | None = None) -> bool:
    """Take in one page, of this account's import or of any; False when none is due."""
    rows = ContactImport.objects.all()
    claimed = claim(
        rows if account_id is None else rows.filter(pk=account_id),
        limit=1,
        lease_seconds=LEASE_SECONDS,
    )
    if not claimed:
        return False
    (row,) = claimed
    try:
        _take_in(row)
    except (
        NoLeave,
        Busy,
        IntegrityError,
    ):  # or a customer of the page was made at this very moment
        _settle(row, due_at=_unless_paused(ASK_AGAIN))
    except (Refused, ConnectionNotFound) as error:
        log.warning("import_refused", account_id=str(row.account_id), reason=error.detail)
        _settle(row, due_at=None, error=error.detail[:1000])
    except HubSpotError as error:
        _settle(row, due_at=_unless_paused(AFTER_FAILURE), error=error.detail)
    return True


def rehearse(account_id: UUID) -> Iterator[Tally]:
    """What an import would do, page by page, without doing it; raises ConnectionNotFound, HubSpotError."""
    row = ContactImport(pages=0, milestone="")  # is not saved
    while True:
        line, hubspot = _connected(account_id)
        answer = _page(ask_patiently, line, hubspot, row)
        try:
            tally = _would_adopt(line, answer)
        except (
            Busy
        ):  # HubSpot is just being told of one of them: the page is read again, a little later
            time.sleep(ASK_AGAIN.total_seconds())
            continue
        yield tally
        if not answer.next_place:
            return
        row = ContactImport(**_place(row, answer))


@transaction.atomic
def _would_adopt(line: Line, answer: Answer) -> Tally:
    tally = adopt(line=line, records=answer.records, actor=system(IMPORT))
    transaction.set_rollback(True)
    return tally


def _take_in(row: ContactImport) -> None:
    line, hubspot = _connected(row.account_id)
    if line.portal_key != row.portal_key:
        raise ConnectionNotFound("The token was changed; start the import again.")
    if row.total is None:
        total = ask(line.portal_key, hubspot.count).total
        ContactImport.objects.filter(pk=row.pk).update(total=total or 0)
    _record(row, line, _page(ask, line, hubspot, row))


@retried
@transaction.atomic
def _record(row: ContactImport, line: Line, answer: Answer) -> None:
    """A page and how far it brought the import, in one: never a page twice in the count."""
    tally = adopt(line=line, records=answer.records, actor=system(IMPORT))
    counts = {name: F(name) + number for name, number in asdict(tally).items()}
    end = {} if answer.next_place else {"due_at": None, "ended_at": Now()}
    if not _settle(row, error="", **_place(row, answer), **counts, **end):
        transaction.set_rollback(True)  # another one has it by now


def _place(row: ContactImport, answer: Answer) -> dict[str, Any]:
    """How far a page brought the import. The place after 1, 2, 4, 8, … pages is its milestone until the next:
    the way between two doubles, so that a circle of any length fits into it (Brent's algorithm)."""
    pages, place = row.pages + 1, answer.next_place
    is_milestone = pages & (pages - 1) == 0
    return {
        "after": place,
        "pages": pages,
        "milestone": place if is_milestone else row.milestone,
    }


def _page(how: Callable[..., Answer], line: Line, hubspot: HubSpot, row: ContactImport) -> Answer:
    answer = how(line.portal_key, lambda: hubspot.page(row.after, targets(line.mapping)))
    if answer.next_place and answer.next_place in (row.after, row.milestone):
        raise Refused(Fault("NO_PROGRESS", "HubSpot's pages of contacts do not come to an end."))
    return answer


def _unless_paused(wait: timedelta) -> Case:
    return Case(When(due_at__isnull=False, then=Now() + wait), output_field=DateTimeField())


def _connected(account_id: UUID) -> tuple[Line, HubSpot]:
    line = selectors.line(account_id)
    token = selectors.token_of(account_id, line.portal_key) if line else None
    if line is None or token is None:
        raise ConnectionNotFound("There is no connection to HubSpot; PUT /crm/connection makes it.")
    return line, HubSpot(token)


def _settle(row: ContactImport, **outcome: object) -> bool:
    return settle(ContactImport, row.pk, row.lease_id or _NOBODY, **outcome)
