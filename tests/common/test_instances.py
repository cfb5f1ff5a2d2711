"""Objects made past `__init__` are the same objects."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection, models
from django.db.models.expressions import DatabaseDefault
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Account
from apps.common.ids import uuid7
from apps.common.instances import loaded, made
from apps.orders.models import Order, OrderLine

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ORDER = {"id": uuid7(), "account_id": uuid7(), "storefront_id": uuid7(), "number": 1}
LINE = {"id": uuid7(), "order_id": uuid7(), "product_id": uuid7(), "sku": "MUG", "quantity": 2}


def columns(one: models.Model) -> dict[str, Any]:
    """The database's own defaults, which equal none but themselves, by what they are."""
    values = {field.attname: one.__dict__[field.attname] for field in one._meta.concrete_fields}
    return {
        name: type(value) if isinstance(value, DatabaseDefault) else value
        for name, value in values.items()
    }


@pytest.mark.parametrize(("model", "values"), [(Order, ORDER), (OrderLine, LINE)])
def test_a_new_object_has_what_its_model_gives_it(
    model: type[models.Model], values: dict[str, Any]
) -> None:
    one = made(model, values)

    assert columns(one) == columns(model(**values))
    assert one == model(**values)
    assert one._state.adding


def test_what_is_made_anew_for_each_is_not_shared() -> None:
    first, second = made(Order, {}), made(Order, {})

    assert first.id != second.id
    assert first.metadata == second.metadata == {}
    assert first.metadata is not second.metadata


@pytest.mark.django_db
def test_an_object_of_a_row_asks_for_what_was_not_read() -> None:
    stored = Account.objects.create(slug="acme", name="Acme")

    one = loaded(Account, {"id": stored.id, "slug": "acme"})

    assert not one._state.adding
    with CaptureQueriesContext(connection) as asked:
        assert one == stored
        assert one.slug == "acme"
        assert len(asked) == 0
        assert one.name == "Acme"
    assert len(asked) == 1
