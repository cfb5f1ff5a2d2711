"""Errors as HubSpot words them."""

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4


@dataclass
class Refusal(Exception):
    """An answer that is not 2xx."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def refusal(status: int, category: str, message: str, **more: Any) -> Refusal:
    return Refusal(status, error(category, message, **more))


def error(category: str, message: str, **more: Any) -> dict[str, Any]:
    """One of `errors`, or the body of a whole refusal."""
    return {
        "status": "error",
        "category": category,
        "message": message,
        "correlationId": str(uuid4()),
        **more,
    }


def not_found(ids: list[str]) -> dict[str, Any]:
    return error(
        "OBJECT_NOT_FOUND",
        "Could not get some CONTACT objects, they may be deleted or not exist."
        " Check that ids are valid.",
        context={"ids": ids},
    )


def unknown_property(name: str) -> dict[str, Any]:
    problem = {
        "isValid": False,
        "message": f'Property "{name}" does not exist',
        "error": "PROPERTY_DOESNT_EXIST",
        "name": name,
    }
    return error(
        "VALIDATION_ERROR",
        f"Property values were not valid: {json.dumps([problem])}",
        errors=[
            {
                "message": problem["message"],
                "code": "PROPERTY_DOESNT_EXIST",
                "context": {"propertyName": [name]},
            }
        ],
    )


def invalid_value(name: str, code: str, message: str) -> dict[str, Any]:
    problem = {"isValid": False, "message": message, "error": code, "name": name}
    return error("VALIDATION_ERROR", f"Property values were not valid: {json.dumps([problem])}")


def no_such_association(ids: list[str]) -> dict[str, Any]:
    return error("VALIDATION_ERROR", f"Some associated objects do not exist: CONTACT={ids}")


def taken(existing_id: str) -> dict[str, Any]:
    return error(
        "CONFLICT",
        f"Contact already exists. Existing ID: {existing_id}",
        context={"existingId": [existing_id]},
    )


def too_many(policy: str) -> Refusal:
    """429, without `category` or `Retry-After`, as HubSpot's own."""
    name = {
        "DAILY": "daily",
        "SECONDLY": "secondly",
        "TEN_SECONDLY_ROLLING": "ten_secondly_rolling",
    }[policy]
    return Refusal(
        429,
        {
            "status": "error",
            "message": f"You have reached your {name} limit.",
            "errorType": "RATE_LIMIT",
            "correlationId": str(uuid4()),
            "policyName": policy,
            "groupName": "publicapi:private-apps:simulated",
        },
    )
