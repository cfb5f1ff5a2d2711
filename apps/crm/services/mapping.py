"""Which of a customer's fields become which HubSpot property, and how their values are written."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from apps.common.errors import Fault
from apps.common.money import is_currency, plain
from apps.crm.enums import ORDERS_PREFIX
from apps.crm.errors import MappingInvalid
from apps.crm.models import Customer
from apps.crm.selectors import Figures, order_figures

EMAIL = "email"
FIELDS = ("first_name", "last_name", "external_id")
PREFIX = "properties."
# Of the customer's orders that count; `orders.total.EUR` is what was spent in euros.
FIGURES = tuple(ORDERS_PREFIX + name for name in ("count", "last_at", "last_date", "last_number"))
TOTAL = ORDERS_PREFIX + "total."


def check_mapping(mapping: Mapping[str, str]) -> None:
    """Raise MappingInvalid unless every field is known and every property is written by one field."""
    faults = []
    taken = {EMAIL}
    for name, target in mapping.items():
        if not _is_field(name):
            known = ", ".join((*FIELDS, f"{PREFIX}<name>", *FIGURES, f"{TOTAL}<currency>"))
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


def has_figures(mapping: Mapping[str, str]) -> bool:
    """Whether what becomes of a customer's orders matters to HubSpot."""
    return any(name.startswith(ORDERS_PREFIX) for name in mapping)


def wanted_of(
    customers: Iterable[Customer], mapping: Mapping[str, str]
) -> dict[UUID, dict[str, str]]:
    """The HubSpot properties that each customer of an account should have; a field without a value is
    left out."""
    known = list(customers)
    figures: dict[str, Figures] = {}
    if known and has_figures(mapping):
        ids = [one.external_id for one in known if one.external_id is not None]
        figures = order_figures(known[0].account_id, ids)
    return {one.pk: _wanted(one, figures.get(one.external_id or ""), mapping) for one in known}


def _wanted(
    customer: Customer, figures: Figures | None, mapping: Mapping[str, str]
) -> dict[str, str]:
    values: dict[str, str] = {}
    if customer.email is not None:
        values[EMAIL] = customer.email
    for name, target in mapping.items():
        is_figure = name.startswith(ORDERS_PREFIX)
        value = _figure(figures, name) if is_figure else _value(customer, name)
        if value is not None and value != "":
            values[target] = text(value)
    return values


def _value(customer: Customer, name: str) -> Any:
    if name.startswith(PREFIX):
        return customer.properties.get(name.removeprefix(PREFIX))
    return getattr(customer, name)


def _figure(figures: Figures | None, name: str) -> Any:
    """Of a customer without an order that counts there is none, not a zero."""
    if figures is None:
        return None
    if name.startswith(TOTAL):
        currency = name.removeprefix(TOTAL)
        spent = figures.spent.get(currency)
        return None if spent is None else plain(spent, currency)
    return {
        "orders.count": figures.count,
        "orders.last_at": moment(figures.last_at),
        "orders.last_date": figures.last_at.astimezone(UTC).date().isoformat(),
        "orders.last_number": figures.last_number,
    }[name]


def _is_field(name: str) -> bool:
    if name.startswith(TOTAL):
        return is_currency(name.removeprefix(TOTAL))
    if name.startswith(PREFIX):
        return len(name) > len(PREFIX)
    return name in (*FIELDS, *FIGURES)


def moment(at: datetime) -> str:
    """A time as HubSpot takes it and tells it again, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def text(value: Any) -> str:
    """As HubSpot wants every value: a string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _pointer(name: str) -> str:
    return "/mapping/" + name.replace("~", "~0").replace("/", "~1")
