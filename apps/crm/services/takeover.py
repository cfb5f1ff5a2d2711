"""What a value of HubSpot's makes of a customer's field."""

from typing import Any

import orjson
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from apps.crm.enums import MAX_EMAIL, MAX_NAME, MAX_PROPERTIES_BYTES
from apps.crm.models import Customer
from apps.crm.selectors import normalised
from apps.crm.services.mapping import EMAIL, PREFIX, text

Altered = dict[str, tuple[Any, Any]]


def taken_over(customer: Customer, field: str, value: str) -> Altered | None:
    """Columns that change, as column -> (old, new); None when a customer cannot have such a value.

    An `external_id` is the caller's own, which orders go by: HubSpot is sent it and never heard.
    """
    if field == EMAIL:
        return _email(customer, normalised(value))
    if field.startswith(PREFIX):
        return _property(customer, field.removeprefix(PREFIX), value)
    if field not in ("first_name", "last_name") or len(value) > MAX_NAME:
        return None
    return {field: (getattr(customer, field), value or None)}


def _email(customer: Customer, email: str) -> Altered | None:
    """Every customer has one, and no other customer of its account the same."""
    if email == customer.email:
        return {}
    others = Customer.objects.filter(account_id=customer.account_id, email=email)
    try:
        validate_email(email)
    except ValidationError:
        return None
    if len(email) > MAX_EMAIL or others.exists():
        return None
    return {EMAIL: (customer.email, email)}


def _property(customer: Customer, name: str, value: str) -> Altered | None:
    old = customer.properties
    new = {key: one for key, one in old.items() if key != name}
    if value:
        new[name] = _typed(value, old.get(name))
    if len(orjson.dumps(new)) > MAX_PROPERTIES_BYTES:
        return None
    return {"properties": (old, new)}


def _typed(value: str, old: Any) -> Any:
    """Of the type that it had here, where that leads back to the same text; HubSpot knows text only."""
    candidates: list[Any] = []
    if isinstance(old, bool):
        candidates = [True, False]
    elif isinstance(old, int | float):
        try:
            candidates = [type(old)(value)]
        except (ValueError, OverflowError):
            candidates = []
    return next((one for one in candidates if text(one) == value and _fits(one)), value)


def _fits(value: Any) -> bool:
    return isinstance(value, bool) or abs(value) < 2**63
