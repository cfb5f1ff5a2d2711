"""Which of a customer's fields become which HubSpot property, and how their values are written."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from apps.common.errors import Fault
from apps.crm.errors import MappingInvalid
from apps.crm.models import Customer

EMAIL = "email"
FIELDS = ("first_name", "last_name", "external_id")
PREFIX = "properties."


def check_mapping(mapping: Mapping[str, str]) -> None:
    """Raise MappingInvalid unless every field is known and every property is written by one field."""
    faults = []
    taken = {EMAIL}
    for name, target in mapping.items():
        if name not in FIELDS and not (name.startswith(PREFIX) and len(name) > len(PREFIX)):
            known = ", ".join((*FIELDS, f"{PREFIX}<name>"))
            faults.append(Fault(_pointer(name), "unknown_field", f"Known are {known}."))
        elif target in taken:
            detail = f"{target} is written by another field; the e-mail always goes to email."
            faults.append(Fault(_pointer(name), "property_taken", detail))
        taken.add(target)
    if faults:
        raise MappingInvalid("Correct the mapping and send it again.", faults=faults)


def targets(mapping: Mapping[str, str]) -> list[str]:
    """The HubSpot properties that the mapping writes; others are never touched."""
    return [EMAIL, *mapping.values()]


def wanted_of(
    customers: Iterable[Customer], mapping: Mapping[str, str]
) -> dict[UUID, dict[str, str]]:
    """The HubSpot properties that each customer should have; a field without a value is left out."""
    return {customer.pk: _wanted(customer, mapping) for customer in customers}


def _wanted(customer: Customer, mapping: Mapping[str, str]) -> dict[str, str]:
    values: dict[str, str] = {}
    if customer.email is not None:
        values[EMAIL] = customer.email
    for name, target in mapping.items():
        value = _value(customer, name)
        if value is not None and value != "":
            values[target] = text(value)
    return values


def _value(customer: Customer, name: str) -> Any:
    if name.startswith(PREFIX):
        return customer.properties.get(name.removeprefix(PREFIX))
    return getattr(customer, name)


def text(value: Any) -> str:
    """As HubSpot wants every value: a string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _pointer(name: str) -> str:
    return "/mapping/" + name.replace("~", "~0").replace("/", "~1")
