"""Customers by two prepared statements: one reads all that a change depends on, one writes all of it, if
that is still so (migrations/0010_writing.sql). No lock is held in between. What may be null goes as text, so that
each is prepared once, whatever is null.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import orjson
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, models

from apps.common.actor import Actor
from apps.common.postgresql.prepared import prepared_cursor
from apps.common.wakeups import wake_on_commit
from apps.crm.enums import SyncState
from apps.crm.errors import CustomerNotFound
from apps.crm.events import CUSTOMER_CREATED, CUSTOMER_UPDATED, Standing, customer_object, moment
from apps.crm.models import Contact, Customer, Portal
from apps.crm.selectors import environment_digest
from apps.events.catalogue import EventType
from apps.events.publishing import DISPATCH, Draft, draft

M = TypeVar("M", bound=models.Model)


class Known(NamedTuple):
    """A customer with its contact, and how its account stands with HubSpot."""

    customer: Customer
    standing: Standing


class Seen(NamedTuple):
    """What there is at the time `at`."""

    at: datetime
    standing: Standing
    customer: Customer | None

    @property
    def known(self) -> Known:
        """Raises CustomerNotFound."""
        if self.customer is None:
            raise CustomerNotFound("There is no such customer.")
        return Known(self.customer, self.standing)


def _fields(model: type[models.Model], *names: str) -> list["models.Field[Any, Any]"]:
    """In the order of the model, as `from_db` wants them."""
    return [field for field in model._meta.concrete_fields if field.name in names]


_PORTAL = _fields(Portal, "key", "status", "error_reason", "error_detail")
_CUSTOMER = _fields(
    Customer,
    *("id", "account", "email", "first_name", "last_name", "external_id", "properties"),
    *("version", "created_at", "updated_at"),
)
_CONTACT = _fields(
    Contact,
    *("customer", "state", "contact_id", "synced_at"),
    *("error_code", "error_reason", "error_property", "error_detail"),
)
_COLUMNS = ", ".join(
    f"{alias}.{field.column}"
    for alias, fields in (("p", _PORTAL), ("c", _CUSTOMER), ("k", _CONTACT))
    for field in fields
)

# The key of a portal is made as `selectors.portal_key` makes it.
_READ = f"""
SELECT clock_timestamp(), t.digest, {_COLUMNS}
  FROM (SELECT coalesce(
          (SELECT nullif(token_digest, '') FROM crm_connection WHERE id = $1), $3)
       ) AS t(digest)
  LEFT JOIN crm_portal p
    ON t.digest <> '' AND p.key = encode(sha256(convert_to($4 || t.digest, 'UTF8')), 'hex')
  LEFT JOIN (crm_customer c JOIN crm_contact k ON k.id = c.id)
    ON c.account_id = $1 AND c.id = $2 AND c.erased_at IS NULL
"""  # noqa: S608 - the columns' names are the models'


def look(account_id: UUID, customer_id: UUID | None = None) -> Seen:
    """The customer, if the account has it, and all else that is told of it."""
    values = [
        account_id,
        customer_id and str(customer_id),
        environment_digest(),
        f"{settings.HUBSPOT_BASE_URL}\n",
    ]
    with prepared_cursor() as cursor:
        cursor.execute(_READ, values)
        at, digest, *rest = cursor.fetchone()
    columns = iter(rest)
    portal = _loaded(Portal, _PORTAL, columns)
    customer = _loaded(Customer, _CUSTOMER, columns)
    contact = _loaded(Contact, _CONTACT, columns)
    if customer is not None and contact is not None:
        customer.properties = orjson.loads(customer.properties)
        customer.contact = contact
    return Seen(at, Standing(bool(digest), portal), customer)


def write_change(
    seen: Seen, altered: Mapping[str, tuple[Any, Any]], actor: Actor
) -> Customer | None:
    """Write the seen customer with what is `altered` (field -> (old, new)); None, and nothing written, when
    it is not as it was seen any more."""
    customer, standing = seen.known
    contact = customer.contact
    was = [customer.id, customer.version, contact.contact_id, moment(contact.synced_at)]
    for name, (_, new) in altered.items():
        setattr(customer, name, new)
    customer.version += 1
    customer.updated_at = seen.at
    contact.state = SyncState.PENDING.value
    contact.error_code = ""
    event = _event(CUSTOMER_UPDATED, customer, standing, actor, altered)
    return _write("SELECT crm_change_customer_v1", was, customer, event)


def write_new(customer: Customer, standing: Standing, actor: Actor) -> Customer | None:
    """Write a customer that is new; None, and nothing written, when the account has one of its e-mail or
    external_id."""
    event = _event(CUSTOMER_CREATED, customer, standing, actor)
    owner = [customer.id, customer.account_id]
    return _write("SELECT crm_create_customer_v1", owner, customer, event)


def _write(call: str, first: list[Any], customer: Customer, event: Draft) -> Customer | None:
    values = [
        *first,
        *(customer.email, customer.first_name, customer.last_name, customer.external_id),
        orjson.dumps(customer.properties).decode(),
        *(event.id, event.type.name, event.type.version),
        *(orjson.dumps(event.actor.as_json()).decode(), event.actor.request_id, event.payload),
        event.occurred_at,
    ]
    with prepared_cursor() as cursor:
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        cursor.execute(f"{call}({places})", values)
        (is_written,) = cursor.fetchone()
    if not is_written:
        return None
    wake_on_commit(DISPATCH)
    return customer


def _event(
    type: EventType,
    customer: Customer,
    standing: Standing,
    actor: Actor,
    changes: Mapping[str, tuple[Any, Any]] | None = None,
) -> Draft:
    return draft(
        type,
        account_id=customer.account_id,
        subject=customer.id,
        object=customer_object(customer, customer.contact, standing),
        actor=actor,
        at=customer.updated_at,
        changes=changes,
    )


def _loaded(
    model: type[M], fields: list["models.Field[Any, Any]"], columns: Iterator[Any]
) -> M | None:
    """The object of these columns, without the defaults of new ones; None of a row that was not found."""
    values = [next(columns) for _ in fields]
    if values[0] is None:
        return None
    return model.from_db(DEFAULT_DB_ALIAS, [field.attname for field in fields], values)
