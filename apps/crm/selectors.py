"""Reads of the CRM app, each within the rows of one account."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection as db_connection
from django.db.models import Count, Max, Q, QuerySet, Sum
from django.db.models.functions import Now

from apps.common.encryption import UndecipherableError
from apps.crm.enums import (
    DEFAULT_MAPPING,
    NOT_CONFIGURED,
    ORDERS_PREFIX,
    MissingContact,
    SyncState,
)
from apps.crm.errors import ConnectionNotFound, CustomerNotFound
from apps.crm.events import Standing
from apps.crm.models import (
    Connection,
    Contact,
    Customer,
    MappingCheck,
    OrderFold,
    Owed,
    Portal,
    SoldDeal,
    SyncAttempt,
)

# Counting stops here: nobody needs to know more exactly.
COUNT_LIMIT = 10_000

log = structlog.get_logger(__name__)


def customers(
    account_id: UUID,
    *,
    email: str | None = None,
    external_id: str | None = None,
    q: str | None = None,
    state: str | None = None,
) -> "QuerySet[Customer]":
    """The customers of an account that are not erased; `q` is the start of an e-mail or external_id."""
    rows = Customer.objects.select_related("contact").filter(account_id=account_id, erased_at=None)
    if email is not None:
        rows = rows.filter(email=normalised(email))
    if external_id is not None:
        rows = rows.filter(external_id=external_id)
    if q is not None:
        rows = rows.filter(Q(email__startswith=normalised(q)) | Q(external_id__startswith=q))
    if state is not None:
        rows = _in_state(rows, account_id, state)
    return rows


def number_owed(account_id: UUID) -> str:
    """How many customers HubSpot is owed something of, counted to 10,000."""
    return _counted(Contact.objects.filter(account_id=account_id, due_at__isnull=False))


def number_failed(account_id: UUID) -> str:
    """How many customers HubSpot refuses as they are, counted to 10,000."""
    return _counted(Contact.objects.filter(account_id=account_id, state=SyncState.FAILED))


def number_of_deals_owed(account_id: UUID) -> str:
    """How many deals sold HubSpot is owed something of, counted to 10,000."""
    return _counted(SoldDeal.objects.filter(account_id=account_id, due_at__isnull=False))


def _counted(rows: "QuerySet[Contact] | QuerySet[SoldDeal]") -> str:
    number = len(rows.values_list("pk", flat=True)[: COUNT_LIMIT + 1])
    return f"{number:,}" if number <= COUNT_LIMIT else f"over {COUNT_LIMIT:,}"


def customer(account_id: UUID, customer_id: UUID) -> Customer:
    """One of them; raises CustomerNotFound."""
    found = customers(account_id).filter(pk=customer_id).first()
    if found is None:
        raise CustomerNotFound("There is no such customer.")
    return found


def attempts(account_id: UUID, customer_id: UUID) -> "QuerySet[SyncAttempt]":
    """What the calls of the last 30 days meant for a customer; raises CustomerNotFound."""
    return SyncAttempt.objects.filter(customer_id=customer(account_id, customer_id).pk)


def connection(account_id: UUID) -> Connection | None:
    """The account's own connection, its token unread."""
    return Connection.objects.defer("access_token").filter(pk=account_id).first()


def connection_in_force(account_id: UUID) -> Connection:
    """The account's own, else one with the environment's token; raises ConnectionNotFound."""
    own = connection(account_id)
    if own is not None:
        return own
    if not settings.HUBSPOT_ACCESS_TOKEN:
        raise ConnectionNotFound("There is no connection to HubSpot; PUT /crm/connection makes it.")
    return Connection(account_id=account_id)


def mapping_check(account_id: UUID) -> MappingCheck | None:
    """What the last look at the account's mapping came to; None before the first was asked for."""
    return MappingCheck.objects.filter(pk=account_id).first()


def standing(account_id: UUID) -> Standing:
    """How the account stands with HubSpot; the token itself is not read."""
    own = Connection.objects.filter(pk=account_id).values_list("token_digest", flat=True).first()
    return standing_of(own or "")


def standing_of(own_digest: str) -> Standing:
    """The same, of an account whose own token has this digest ("" when it has none)."""
    digest = own_digest or environment_digest()
    if not digest:
        return Standing(has_token=False)
    return Standing(True, Portal.objects.filter(pk=portal_key(digest)).first())


class Line(NamedTuple):
    """What a sync needs to know of an account: where its token leads, and what the account wants. Without
    `send_orders` the mapping has no figures."""

    account_id: UUID
    portal_key: str
    mapping: dict[str, str]
    creates_missing: bool
    sends_deals: bool
    deal_stages: dict[str, str]


# Walks from account to account in the index of what is owed, however much that is.
_ACCOUNTS = """
WITH RECURSIVE waiting(account_id, due_at) AS (
  (SELECT account_id, due_at FROM {table} WHERE due_at IS NOT NULL
    ORDER BY account_id, due_at LIMIT 1)
  UNION ALL
  SELECT n.account_id, n.due_at FROM waiting w CROSS JOIN LATERAL (
    SELECT account_id, due_at FROM {table}
     WHERE due_at IS NOT NULL AND account_id > w.account_id
     ORDER BY account_id, due_at LIMIT 1) n
)
SELECT account_id FROM waiting
 WHERE due_at <= now()
"""


def lines_waiting(owed: type[Owed] = Contact) -> list[Line]:
    """Of every account of which something is due, that has a token, and whose HubSpot may be called now
    as far as its last answers go. Three queries, however many there are."""
    with db_connection.cursor() as cursor:
        cursor.execute(_ACCOUNTS.format(table=owed._meta.db_table))
        waiting = [row[0] for row in cursor.fetchall()]
    own = Connection.objects.defer("access_token").in_bulk(waiting)
    lines = [
        line
        for account_id in waiting
        if (line := _line(own.get(account_id) or Connection(account_id=account_id))) is not None
    ]
    keys = {line.portal_key for line in lines}
    closed = set(
        Portal.objects.filter(pk__in=keys, resume_at__gt=Now()).values_list("pk", flat=True)
    )
    return [line for line in lines if line.portal_key not in closed]


def portals_without_deals(keys: Iterable[str]) -> set[str]:
    """Those of the portals that are not to be called about deals for now."""
    held = Portal.objects.filter(pk__in=list(keys), deals_resume_at__gt=Now())
    return set(held.values_list("pk", flat=True))


def has_deal_property(key: str) -> bool:
    """Whether our unique property is known to be among HubSpot's, at this portal."""
    return Portal.objects.filter(pk=key, has_deal_property=True).exists()


def access_token(account_id: UUID) -> str | None:
    """The token that the account's calls go with; None when it has none, or none that can be read."""
    try:
        own = Connection.objects.filter(pk=account_id).first()
    except UndecipherableError:
        log.exception("access_token_undecipherable", account_id=str(account_id))
        return None
    return (own and own.access_token) or settings.HUBSPOT_ACCESS_TOKEN or None


def token_of(account_id: UUID, key: str) -> str | None:
    """The same, if it leads to this portal: ids of contacts mean other people at another, and the token
    may have been replaced since the portal was looked up."""
    token = access_token(account_id)
    return token if token and portal_key(token_digest(token)) == key else None


def line(account_id: UUID) -> Line | None:
    """The account's line to HubSpot; None when it has no token."""
    return _line(connection(account_id) or Connection(account_id=account_id))


def unidentified_portals() -> dict[str, UUID | None]:
    """Keys of portals in use of which HubSpot was not asked yet what its number of them is; each with an
    account whose token leads there, None for the environment's."""
    own = Connection.objects.exclude(token_digest="").values_list("token_digest", "pk")
    keys: dict[str, UUID | None] = {portal_key(digest): account_id for digest, account_id in own}
    if settings.HUBSPOT_ACCESS_TOKEN:
        keys[portal_key(environment_digest())] = None
    known = Portal.objects.filter(pk__in=keys, hub_id__isnull=False).values_list("pk", flat=True)
    return {key: keys[key] for key in keys.keys() - set(known)}


@dataclass(frozen=True, slots=True)
class Figures:
    """What a customer's orders that count come to; `spent` in minor units, by currency."""

    count: int
    spent: dict[str, int]
    last_at: datetime
    last_number: int


def order_figures(account_id: UUID, customer_ids: Iterable[str]) -> dict[str, Figures]:
    """By what orders call the customer; nothing of one without an order that counts."""
    rows = (
        OrderFold.objects.filter(
            account_id=account_id, customer_id__in=list(customer_ids), is_erased=False, counts=True
        )
        .values("customer_id", "currency")
        .annotate(
            orders=Count("pk"), sum=Sum("spent"), at=Max("placed_at"), last_number=Max("number")
        )
        .order_by("customer_id")
    )
    return {
        customer_id: Figures(
            count=sum(row["orders"] for row in own),
            spent={row["currency"]: int(row["sum"]) for row in own},
            last_at=max(row["at"] for row in own),
            last_number=max(row["last_number"] for row in own),
        )
        for customer_id, group in groupby(rows, key=itemgetter("customer_id"))
        for own in [list(group)]
    }


def _line(own: Connection) -> Line | None:
    digest = own.token_digest or environment_digest()
    if not digest:
        return None
    mapping = DEFAULT_MAPPING if own._state.adding else own.mapping
    return Line(
        account_id=own.account_id,
        portal_key=portal_key(digest),
        mapping={
            field: target
            for field, target in mapping.items()
            if own.send_orders or not field.startswith(ORDERS_PREFIX)
        },
        creates_missing=own.missing_contact == MissingContact.CREATE,
        sends_deals=own.send_deals,
        deal_stages=own.deal_stages,
    )


def environment_digest() -> str:
    """The digest of the environment's token; "" when there is none."""
    token = settings.HUBSPOT_ACCESS_TOKEN
    return token_digest(token) if token else ""


def token_digest(token: str) -> str:
    """What tells tokens apart without showing them."""
    return hashlib.sha256(token.encode()).hexdigest()


def portal_key(digest: str) -> str:
    """The key of the portal that the token of this digest opens at the configured address."""
    return hashlib.sha256(f"{settings.HUBSPOT_BASE_URL}\n{digest}".encode()).hexdigest()


def normalised(email: str) -> str:
    """An e-mail address as it is kept, compared and sent: in lower case, as HubSpot keeps it."""
    return email.lower()


def _in_state(rows: "QuerySet[Customer]", account_id: UUID, state: str) -> "QuerySet[Customer]":
    """`pending` is told as `not_configured` while the account has no token."""
    waiting = SyncState.PENDING if standing(account_id).has_token else NOT_CONFIGURED
    if state in (SyncState.PENDING, NOT_CONFIGURED):
        if state != waiting:
            return rows.none()
        state = SyncState.PENDING
    # By the contact's own columns, which its index begins with.
    return rows.filter(contact__account_id=account_id, contact__state=state)
