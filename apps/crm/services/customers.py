"""Changes of customers. Each is a local write that owes HubSpot something; nobody waits for HubSpot."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db import transaction
from django.db.models import F
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce, Now

from apps.common.actor import Actor
from apps.common.errors import Fault, Stale
from apps.common.ids import uuid7_at
from apps.common.retries import retried
from apps.common.versions import require_version
from apps.common.wakeups import wake_on_commit
from apps.crm.enums import MAX_PROPERTIES_BYTES, SyncState
from apps.crm.errors import CustomerExternalIdTaken, CustomerInvalid, EmailTaken
from apps.crm.events import customer_object
from apps.crm.models import Contact, Customer
from apps.crm.selectors import customer, customers, standing
from apps.crm.services.writing import Known, look, write_change, write_new
from apps.events.catalogue import EventType
from apps.events.publishing import draft, publish

SYNC = "crm.sync"

# Columns that clients write.
FIELDS = ("email", "first_name", "last_name", "external_id", "properties")

AHEAD_OF_OTHERS = timedelta(minutes=1)

# All that HubSpot confirmed counts as uncertain.
_UNCERTAIN = RawSQL("nullif(acknowledged || coalesce(sending, '{}'), '{}')", [])


class Upserted(NamedTuple):
    """A customer, and whether it was made just now."""

    known: Known
    created: bool


def create_customer(*, account_id: UUID, fields: Mapping[str, Any], actor: Actor) -> Known:
    """Make a customer; raises EmailTaken, CustomerExternalIdTaken."""
    made = _insert(account_id, fields, actor)
    if made is None:
        _refuse_taken(account_id, fields, but=None)
        raise email_taken(fields["email"])  # its holder was erased in this very moment
    return made


@retried
@transaction.atomic
def put_customer(
    *,
    account_id: UUID,
    external_id: str,
    fields: Mapping[str, Any],
    actor: Actor,
    expected: frozenset[int] | None = None,
) -> Upserted:
    """Make the customer of this external_id or bring it into this state; raises EmailTaken, Stale."""
    fields = {**fields, "external_id": external_id}
    if expected is None:
        made = _insert(account_id, fields, actor)
        if made is not None:
            return Upserted(made, created=True)
    present = customers(account_id, external_id=external_id).first()
    if present is None and expected is not None:
        raise Stale(
            "There is no customer of this external_id yet; to make one, leave If-Match out."
        )
    if present is None:
        raise email_taken(fields["email"])
    return Upserted(
        _update(account_id, present.pk, fields, actor, expected, merging=False), created=False
    )


@retried
def update_customer(
    *,
    account_id: UUID,
    customer_id: UUID,
    changes: Mapping[str, Any],
    actor: Actor,
    expected: frozenset[int] | None = None,
) -> Known:
    """Change a customer; `properties` are merged, null removes one. Raises CustomerNotFound, Stale,
    EmailTaken, CustomerExternalIdTaken."""
    return _update(account_id, customer_id, changes, actor, expected, merging=True)


@transaction.atomic
def request_sync(*, account_id: UUID, customer_id: UUID) -> Known:
    """Owe all of a customer to HubSpot anew and at once; raises CustomerNotFound."""
    _lock(account_id, customer_id)
    owe([customer(account_id, customer_id).pk], anew=True)
    wake_on_commit(SYNC)
    return look(account_id, customer_id).known


def owe(customer_ids: Iterable[UUID], *, anew: bool = False) -> None:
    """Note that HubSpot has to learn something of these customers; call it in the transaction of the
    change.

    What differs from what HubSpot confirmed is sent; `anew` sends at once, and what it confirmed again.
    How long one has been waiting is kept, so that a customer which changes all the time has its turn.
    """
    changes: dict[str, Any] = {"due_at": Coalesce(F("due_at"), Now())}
    if anew:
        changes = {"due_at": Now() - AHEAD_OF_OTHERS, "sending": _UNCERTAIN}
    Contact.objects.filter(pk__in=list(customer_ids)).update(
        revision=F("revision") + 1,
        state=SyncState.PENDING,
        batch_limit=None,
        failures=0,
        error_code="",
        error_reason="",
        error_property="",
        error_detail="",
        **changes,
    )


def tell(
    type: EventType,
    subject: Customer,
    actor: Actor,
    changes: Mapping[str, tuple[Any, Any]] | None = None,
) -> None:
    """Publish an event with the customer as it is now; `changes` are field -> (old, new)."""
    publish(
        draft(
            type,
            account_id=subject.account_id,
            subject=subject.id,
            object=customer_object(subject, subject.contact, standing(subject.account_id)),
            actor=actor,
            at=subject.updated_at,
            changes=changes,
        )
    )


def email_taken(email: str) -> EmailTaken:
    """The error for a second customer of one address."""
    detail = f"You have a customer with the email {email!r} already."
    return EmailTaken(detail, faults=[Fault("/email", EmailTaken.code, detail)])


def external_id_taken(external_id: str) -> CustomerExternalIdTaken:
    """The error for a second customer of one external_id."""
    detail = (
        f"You have a customer {external_id!r} already."
        " PUT /customers/by-external-id/{external_id} replaces it."
    )
    fault = Fault("/external_id", CustomerExternalIdTaken.code, detail)
    return CustomerExternalIdTaken(detail, faults=[fault])


def _insert(account_id: UUID, fields: Mapping[str, Any], actor: Actor) -> Known | None:
    """None when the account has a customer of this e-mail or external_id."""
    at, standing, _ = look(account_id)
    made = Customer(
        id=uuid7_at(at),
        account_id=account_id,
        created_at=at,
        updated_at=at,
        **{name: fields[name] for name in FIELDS if name in fields},
    )
    made.contact = Contact(customer=made, account_id=account_id, due_at=at)
    return Known(made, standing) if write_new(made, standing, actor) else None


def _update(
    account_id: UUID,
    customer_id: UUID,
    changes: Mapping[str, Any],
    actor: Actor,
    expected: frozenset[int] | None,
    *,
    merging: bool,
) -> Known:
    """Set what `changes` names; properties are replaced, or merged with those there are."""

    def attempt() -> Known | None:
        seen = look(account_id, customer_id)
        present, standing = seen.known
        require_version(present.version, expected)
        altered = _altered(present, changes, merging)
        if altered:
            taken = {name: new for name, (_, new) in altered.items()}
            _refuse_taken(account_id, taken, but=customer_id)
        is_done = not altered or write_change(seen, altered, actor)
        return Known(present, standing) if is_done else None

    done = attempt()
    if done is None:  # somebody else has changed it in between; while it is locked nobody will
        with transaction.atomic():
            _lock(account_id, customer_id)
            done = attempt()
    if done is None:
        raise AssertionError("unreachable")
    return done


def _altered(
    present: Customer, changes: Mapping[str, Any], merging: bool
) -> dict[str, tuple[Any, Any]]:
    if merging and "properties" in changes:
        changes = {**changes, "properties": _merged(present.properties, changes["properties"])}
    return {
        name: (getattr(present, name), changes[name])
        for name in FIELDS
        if name in changes and changes[name] != getattr(present, name)
    }


def _lock(account_id: UUID, customer_id: UUID) -> None:
    """Lock the customer and then its contact, if the account has it."""
    rows = Customer.objects.select_for_update(no_key=True).filter(account_id=account_id)
    rows.filter(pk=customer_id).first()
    Contact.objects.select_for_update(no_key=True).filter(
        pk=customer_id, account_id=account_id
    ).first()


def _refuse_taken(account_id: UUID, fields: Mapping[str, Any], *, but: UUID | None) -> None:
    email, external_id = fields.get("email"), fields.get("external_id")
    if email is None and external_id is None:
        return
    others = Customer.objects.filter(account_id=account_id)
    if but is not None:
        others = others.exclude(pk=but)
    if external_id is not None and others.filter(external_id=external_id).exists():
        raise external_id_taken(external_id)
    if email is not None and others.filter(email=email).exists():
        raise email_taken(email)


def _merged(present: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**present, **changes}
    kept = {name: value for name, value in merged.items() if value is not None}
    if len(orjson.dumps(kept)) > MAX_PROPERTIES_BYTES:
        detail = (
            f"With those there are, they have more than {MAX_PROPERTIES_BYTES:,} bytes as JSON."
        )
        raise CustomerInvalid(detail, faults=[Fault("/properties", "too_large", detail)])
    return kept
