"""What a customer looks like, to the API and to the listeners of its events, and which events there are."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.common.clock import rfc3339
from apps.common.schemas import (
    component,
    enum,
    free_object,
    integer,
    nullable,
    obj,
    string,
    timestamp,
    uuid,
)
from apps.crm.enums import NOT_CONFIGURED, PortalStatus, SyncState
from apps.crm.models import Contact, Customer, Portal
from apps.events.catalogue import define

_ERROR = component(
    "CrmError",
    obj(
        {
            "code": enum(
                ["conflict", "rejected", "waiting", "paused", "parked"],
                "`failed`: conflict, rejected. `pending`: waiting (HubSpot cannot take it just now), "
                "paused (the token was refused), parked (until the daily limit resets).",
            ),
            "hubspot_code": nullable(string("HubSpot's own code, such as INVALID_EMAIL.")),
            "property": nullable(string("The HubSpot property it is about.")),
            "detail": string("For people."),
        }
    ),
)

_CRM = component(
    "CrmState",
    obj(
        {
            "state": enum(
                [*SyncState.values, NOT_CONFIGURED],
                "`pending` with an `error`: HubSpot did not take it yet, it is tried again by itself. "
                "`failed`: HubSpot refuses it as it is.",
            ),
            "contact_id": nullable(string("The record id of the contact in HubSpot.")),
            "synced_at": nullable(timestamp("When HubSpot last confirmed it.")),
            "error": nullable(_ERROR),
        }
    ),
)

CUSTOMER = component(
    "Customer",
    obj(
        {
            "id": uuid(),
            "email": nullable(string("In lower case; null once erased.")),
            "first_name": nullable(string()),
            "last_name": nullable(string()),
            "external_id": nullable(string("The caller's own id: the `customer_id` of orders.")),
            "properties": free_object("The caller's own; strings, numbers, true, false."),
            "crm": _CRM,
            "version": integer("Counts what clients write, not what HubSpot answers."),
            "created_at": timestamp(),
            "updated_at": timestamp(),
        }
    ),
    example={
        "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b21",
        "email": "ada@example.com",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "external_id": "customer-1",
        "properties": {"tier": "gold"},
        "crm": {
            "state": "synced",
            "contact_id": "151",
            "synced_at": "2026-11-21T09:30:02.000000Z",
            "error": None,
        },
        "version": 1,
        "created_at": "2026-11-21T09:30:00.000000Z",
        "updated_at": "2026-11-21T09:30:00.000000Z",
    },
)

_ERASED = component(
    "ErasedCustomer",
    obj(
        {
            "id": uuid(),
            "external_id": nullable(string("What orders called the customer.")),
            "erased_at": timestamp(),
        }
    ),
    example={
        "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b21",
        "external_id": "customer-1",
        "erased_at": "2026-11-21T09:30:00.000000Z",
    },
)

_PORTAL_CODES = {
    PortalStatus.UNAVAILABLE: "waiting",
    PortalStatus.THROTTLED: "waiting",
    PortalStatus.PARKED: "parked",
    PortalStatus.PAUSED: "paused",
}

CUSTOMER_CREATED = define("customer.created", "A customer was made.", CUSTOMER)
CUSTOMER_UPDATED = define("customer.updated", "A customer changed.", CUSTOMER, changes=True)
CUSTOMER_SYNCED = define("customer.synced", "HubSpot has what there is of a customer.", CUSTOMER)
CUSTOMER_SYNC_FAILED = define(
    "customer.sync_failed",
    "HubSpot refuses a customer as it is; `crm.error` says why. Not tried again before it changes.",
    CUSTOMER,
)

CUSTOMER_ERASED = define(
    "customer.erased",
    "The personal data of a customer was erased; erase what you hold of it, too.",
    _ERASED,
)

# Those whose payload holds personal data.
PERSONAL = (CUSTOMER_CREATED, CUSTOMER_UPDATED, CUSTOMER_SYNCED, CUSTOMER_SYNC_FAILED)


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account stands with HubSpot: whether it has a token, and how that one fares."""

    has_token: bool
    portal: Portal | None = None


def customer_object(customer: Customer, contact: Contact, standing: Standing) -> dict[str, Any]:
    return {
        "id": str(customer.id),
        "email": customer.email,
        "first_name": customer.first_name,
        "last_name": customer.last_name,
        "external_id": customer.external_id,
        "properties": customer.properties,
        "crm": crm_object(contact, standing),
        "version": customer.version,
        "created_at": rfc3339(customer.created_at),
        "updated_at": rfc3339(customer.updated_at),
    }


def crm_object(contact: Contact, standing: Standing) -> dict[str, Any]:
    """How far HubSpot is. A customer waits for itself (its own error) or for its account's portal."""
    is_waiting = contact.state == SyncState.PENDING
    return {
        "state": NOT_CONFIGURED if is_waiting and not standing.has_token else contact.state,
        "contact_id": contact.contact_id,
        "synced_at": moment(contact.synced_at),
        "error": _error(contact) or (_portal_error(standing.portal) if is_waiting else None),
    }


def erased_object(customer: Customer, external_id: str | None) -> dict[str, Any]:
    return {
        "id": str(customer.id),
        "external_id": external_id,
        "erased_at": moment(customer.erased_at),
    }


def blanked(customer: dict[str, Any]) -> dict[str, Any]:
    """What is left of a customer's object after its erasure: ids, version and times."""
    return {
        **customer,
        "email": None,
        "first_name": None,
        "last_name": None,
        "properties": {},
        "crm": {**customer["crm"], "contact_id": None, "error": None},
    }


def blanked_data(data: dict[str, Any]) -> dict[str, Any]:
    """The same, of an event's `data`."""
    left: dict[str, Any] = {"object": blanked(data["object"])}
    return {**left, "changes": {}} if "changes" in data else left


def _error(contact: Contact) -> dict[str, Any] | None:
    if not contact.error_code:
        return None
    return {
        "code": contact.error_code,
        "hubspot_code": contact.error_reason or None,
        "property": contact.error_property or None,
        "detail": contact.error_detail,
    }


def _portal_error(portal: Portal | None) -> dict[str, Any] | None:
    if portal is None or portal.status == PortalStatus.OK:
        return None
    return {
        "code": _PORTAL_CODES[PortalStatus(portal.status)],
        "hubspot_code": portal.error_reason or None,
        "property": None,
        "detail": portal.error_detail,
    }


def moment(value: datetime | None) -> str | None:
    """A time that may be missing, as the API tells it."""
    return None if value is None else rfc3339(value)
