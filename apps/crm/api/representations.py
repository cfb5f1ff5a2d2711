"""How the connection and the attempts look to their account; customers are described in `events`."""

from typing import Any

from django.conf import settings

from apps.common.clock import rfc3339
from apps.common.schemas import (
    array,
    boolean,
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
from apps.crm.enums import (
    CONTACT_CALLS,
    DEFAULT_MAPPING,
    FindingCode,
    FindingLevel,
    MissingContact,
    Outcome,
    PortalStatus,
    default_deal_stages,
)
from apps.crm.events import Standing, moment
from apps.crm.models import Connection, MappingCheck, Portal, SyncAttempt

_HUBSPOT = component(
    "HubSpotStatus",
    obj(
        {
            "status": enum(list(PortalStatus.values), "Whether it can be called at present."),
            "since": nullable(timestamp()),
            "resume_at": nullable(timestamp("When it is called again, while it cannot be.")),
            "error": nullable(obj({"hubspot_code": nullable(string()), "detail": string()})),
            "rate_limit": nullable(integer("Calls per 10 s, as HubSpot last told it.")),
            "daily_limit": nullable(integer("Calls per day.")),
            "daily_remaining": nullable(integer()),
            "calls": integer("Made with this token, ever."),
            "changed": integer("Customers and deals whose change HubSpot acknowledged, ever."),
            "deals_error": nullable(string("Why deals wait though customers may not.")),
        }
    ),
)

_MAPPING_CHECK = component(
    "MappingCheck",
    obj(
        {
            "checked_at": nullable(timestamp("Null until HubSpot was first asked.")),
            "pending": boolean("Whether a look is owed; it takes seconds while HubSpot answers."),
            "ok": nullable(boolean("Whether all that is mapped can be written.")),
            "error": nullable(string("Why HubSpot could not be asked.")),
            "findings": array(
                obj(
                    {
                        "object": enum(["contacts", "deals"]),
                        "field": nullable(string("Of the mapping; null for what is not mapped.")),
                        "property": string("HubSpot's."),
                        "code": enum(list(FindingCode.values)),
                        "level": enum(list(FindingLevel.values)),
                        "detail": string("What to do about it."),
                    }
                ),
                "One for each property that is written.",
            ),
        }
    ),
)

CONNECTION = component(
    "CrmConnection",
    obj(
        {
            "token_source": nullable(
                enum(["account", "environment"], "Whose token is used; null when there is none.")
            ),
            "address": string("Where this installation's HubSpot is.", format="uri"),
            "missing_contact": enum(list(MissingContact.values)),
            "mapping": free_object("{field of a customer: HubSpot property}"),
            "send_orders": boolean(),
            "send_deals": boolean(),
            "deal_stages": obj({"pipeline": string(), "won": string(), "lost": string()}),
            "hubspot": _HUBSPOT,
            "mapping_check": _MAPPING_CHECK,
            "version": integer(),
            "created_at": nullable(timestamp()),
            "updated_at": nullable(timestamp()),
        }
    ),
    example={
        "token_source": "account",
        "address": "https://api.hubapi.com",
        "missing_contact": "create",
        "mapping": DEFAULT_MAPPING,
        "send_orders": True,
        "send_deals": True,
        "deal_stages": default_deal_stages(),
        "hubspot": {
            "status": "ok",
            "since": "2026-11-21T09:30:00.000000Z",
            "resume_at": None,
            "error": None,
            "rate_limit": 190,
            "daily_limit": 625000,
            "daily_remaining": 624870,
            "calls": 130,
            "changed": 12800,
            "deals_error": None,
        },
        "mapping_check": {
            "checked_at": "2026-11-21T09:30:01.000000Z",
            "pending": False,
            "ok": False,
            "error": None,
            "findings": [
                {
                    "object": "contacts",
                    "field": "properties.tier",
                    "property": "customer_tier",
                    "code": "missing",
                    "level": "error",
                    "detail": "HubSpot has no such property. Make it there, or map the field to another "
                    "one.",
                }
            ],
        },
        "version": 1,
        "created_at": "2026-11-21T09:30:00.000000Z",
        "updated_at": "2026-11-21T09:30:00.000000Z",
    },
)

ATTEMPT = component(
    "SyncAttempt",
    obj(
        {
            "id": uuid(),
            "customer_id": uuid(),
            "call": enum([call.value for call in CONTACT_CALLS]),
            "outcome": enum(list(Outcome.values), "What it meant for this customer."),
            "status": nullable(integer("HTTP; null when HubSpot did not answer.")),
            "hubspot_code": nullable(string()),
            "property": nullable(string()),
            "detail": nullable(string()),
            "correlation_id": nullable(string("HubSpot's, for its support.")),
            "batch_size": integer("Customers in the same call."),
            "duration_ms": integer(),
            "at": timestamp(),
        }
    ),
    example={
        "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b22",
        "customer_id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b21",
        "call": "update",
        "outcome": "synced",
        "status": 200,
        "hubspot_code": None,
        "property": None,
        "detail": None,
        "correlation_id": "7a2f8f0e-4b0c-4b5e-9d0a-3f1f5a0b8c11",
        "batch_size": 100,
        "duration_ms": 310,
        "at": "2026-11-21T09:30:02.000000Z",
    },
)


def connection_object(
    connection: Connection, standing: Standing, check: MappingCheck | None
) -> dict[str, Any]:
    """Never the token."""
    source = "account" if connection.token_digest else "environment"
    is_stored = not connection._state.adding
    return {
        "token_source": source if standing.has_token else None,
        "address": settings.HUBSPOT_BASE_URL,
        "missing_contact": connection.missing_contact,
        "mapping": connection.mapping if is_stored else DEFAULT_MAPPING,
        "send_orders": connection.send_orders,
        "send_deals": connection.send_deals,
        "deal_stages": connection.deal_stages,
        "hubspot": _hubspot_object(standing.portal or Portal()),
        "mapping_check": _check_object(check or MappingCheck()),
        "version": connection.version if is_stored else 0,
        "created_at": rfc3339(connection.created_at) if is_stored else None,
        "updated_at": rfc3339(connection.updated_at) if is_stored else None,
    }


def _check_object(check: MappingCheck) -> dict[str, Any]:
    is_ok = all(one["level"] != FindingLevel.ERROR for one in check.findings)
    return {
        "checked_at": moment(check.checked_at),
        "pending": check.due_at is not None,
        "ok": is_ok and not check.error if check.checked_at else None,
        "error": check.error or None,
        "findings": [{**one, "field": one["field"] or None} for one in check.findings],
    }


def _hubspot_object(portal: Portal) -> dict[str, Any]:
    is_known = not portal._state.adding
    error = {"hubspot_code": portal.error_reason or None, "detail": portal.error_detail}
    return {
        "status": portal.status,
        "since": rfc3339(portal.since) if is_known else None,
        "resume_at": moment(portal.resume_at),
        "error": error if portal.status != PortalStatus.OK else None,
        "rate_limit": portal.rate_limit if is_known else None,
        "daily_limit": portal.daily_limit,
        "daily_remaining": portal.daily_remaining,
        "calls": portal.calls,
        "changed": portal.changed,
        "deals_error": portal.deals_error or None,
    }


def attempt_object(attempt: SyncAttempt) -> dict[str, Any]:
    return {
        "id": str(attempt.id),
        "customer_id": str(attempt.customer_id),
        "call": attempt.call,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "hubspot_code": attempt.code or None,
        "property": attempt.property or None,
        "detail": attempt.detail or None,
        "correlation_id": attempt.correlation_id or None,
        "batch_size": attempt.batch_size,
        "duration_ms": attempt.duration_ms,
        "at": rfc3339(attempt.at),
    }
