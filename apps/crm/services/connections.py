"""How an account is connected to HubSpot: which token, what is sent, what becomes of missing contacts."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common.retries import retried
from apps.common.versions import require_version
from apps.common.wakeups import wake_on_commit
from apps.crm.enums import PortalStatus
from apps.crm.errors import ConnectionNotFound
from apps.crm.models import Connection, Contact, Portal
from apps.crm.selectors import connection, environment_digest, portal_key, token_digest
from apps.crm.services.checking import owe_check
from apps.crm.services.customers import SYNC, owe
from apps.crm.services.deals import DEALS
from apps.crm.services.mapping import check_mapping

RESYNC_BATCH = 1000
NOTHING = UUID(int=0)

# Settings of which a change may make any customer different in HubSpot.
_OF_CUSTOMERS = ("token_digest", "mapping", "missing_contact", "send_orders")


@retried
@transaction.atomic
def put_connection(
    *, account_id: UUID, fields: Mapping[str, Any], expected: frozenset[int] | None = None
) -> Connection:
    """Make the account's connection or bring it into this state; raises MappingInvalid, Stale.

    Without `access_token` the present one stays; None means the environment's. When the change may
    concern customers, all of them are owed anew, in batches by `crm.sync`; what HubSpot has already is
    not sent. A pause after 401 or 403 ends. The mapping is looked at beside HubSpot's properties (`checking`).
    """
    check_mapping(fields["mapping"])
    # So that two first PUTs do not both find nothing; the account's row is there to be locked.
    Account.objects.select_for_update(no_key=True).get(pk=account_id)
    before = connection(account_id)
    if expected is not None:
        require_version(before.version if before else 0, expected)
    columns = _columns(fields)
    if before is None:
        Connection.objects.create(account_id=account_id, resync_after=NOTHING, **columns)
    else:
        _change(before, columns)
    after = _unread().get(pk=account_id)
    _resume(after)
    owe_check(account_id)
    wake_on_commit(SYNC)
    wake_on_commit(DEALS)
    return after


@retried
@transaction.atomic
def delete_connection(*, account_id: UUID, expected: frozenset[int] | None = None) -> None:
    """Forget the connection and its token; the environment's token, if any, holds from now on.
    Raises ConnectionNotFound, Stale."""
    present = _unread().select_for_update().filter(pk=account_id).first()
    if present is None:
        raise ConnectionNotFound("You have no connection to HubSpot of your own.")
    require_version(present.version, expected)
    Connection.objects.filter(pk=account_id).delete()


@transaction.atomic
def request_resync(*, account_id: UUID) -> None:
    """Owe HubSpot all customers of a connected account anew; what it has already is not sent."""
    Connection.objects.filter(pk=account_id).update(resync_after=NOTHING)
    wake_on_commit(SYNC)


@transaction.atomic
def continue_resync() -> bool:
    """Owe the next customers of a connection that changed; False when no connection waits for it."""
    rows = _unread().select_for_update(skip_locked=True).filter(resync_after__isnull=False)
    row = rows.order_by("pk").first()
    if row is None:
        return False
    batch = list(
        Contact.objects.filter(account_id=row.pk, pk__gt=row.resync_after, customer__erased_at=None)
        .order_by("pk")
        .values_list("pk", flat=True)[:RESYNC_BATCH]
    )
    owe(batch)
    after = batch[-1] if len(batch) == RESYNC_BATCH else None
    Connection.objects.filter(pk=row.pk).update(resync_after=after)
    return True


def _unread() -> "QuerySet[Connection]":
    """Connections without their tokens, which only a call needs, and which no key may open any more."""
    return Connection.objects.defer("access_token")


def _columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    columns = dict(fields)
    if "access_token" in fields:
        token = fields["access_token"]
        columns["token_digest"] = token_digest(token) if token else ""
    return columns


def _change(before: Connection, columns: Mapping[str, Any]) -> None:
    """A token that is sent is kept anew though it be the same: no key may open the old one any more."""
    row = Connection.objects.filter(pk=before.pk)
    if "access_token" in columns:
        row.update(access_token=columns["access_token"], token_digest=columns["token_digest"])
    altered = {
        name: value
        for name, value in columns.items()
        if name != "access_token" and value != getattr(before, name)
    }
    if not altered:
        return
    if altered.keys() & set(_OF_CUSTOMERS):
        altered["resync_after"] = NOTHING
    row.update(**altered, version=F("version") + 1, updated_at=Now())


def _resume(row: Connection) -> None:
    digest = row.token_digest or environment_digest()
    portals = Portal.objects.filter(pk=portal_key(digest))
    portals.filter(status=PortalStatus.PAUSED).update(resume_at=Now())
    portals.update(deals_resume_at=None, deals_error="")
