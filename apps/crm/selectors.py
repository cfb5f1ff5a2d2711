"""Reads of the CRM app, each within the rows of one account."""

import hashlib
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet

from apps.crm.enums import NOT_CONFIGURED, SyncState
from apps.crm.errors import ConnectionNotFound, CustomerNotFound
from apps.crm.events import Standing
from apps.crm.models import Connection, Customer, Portal, SyncAttempt


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
    """The account's own connection."""
    return Connection.objects.filter(pk=account_id).first()


def connection_in_force(account_id: UUID) -> Connection:
    """The account's own, else one with the environment's token; raises ConnectionNotFound."""
    own = connection(account_id)
    if own is not None:
        return own
    if not settings.HUBSPOT_ACCESS_TOKEN:
        raise ConnectionNotFound("There is no connection to HubSpot; PUT /crm/connection makes it.")
    return Connection(account_id=account_id)


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
