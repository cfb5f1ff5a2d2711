"""What was issued stays, whoever writes SQL."""

import pytest
from django.db import IntegrityError, connection, transaction

from apps.deals.models import Invoice
from tests.deals.invoices.conftest import INVOICES, Sale
from tests.support import ApiClient

pytestmark = pytest.mark.django_db

STATE = {
    "status", "paid_at", "payment_reference", "voided_at", "remind_at", "reminders", "version",
    "updated_at",
}  # fmt: skip
DOCUMENT = [field.column for field in Invoice._meta.fields if field.column not in STATE]


def run(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def other_value(column: str) -> str:
    """SQL for a value of the column that differs from the present one."""
    kind = Invoice._meta.get_field(column.removesuffix("_id") if column != "id" else "id")
    return {
        "UUIDField": "gen_random_uuid()",
        "ForeignKey": "gen_random_uuid()",
        "OneToOneField": "gen_random_uuid()",
        "BigIntegerField": f"{column} + 1",
        "DecimalField": f"{column} + 1",
        "JSONField": "'{\"other\": 1}'",
        "CharField": "'USD'",
        "DateField": f"{column} + 1",
        "DateTimeField": "now() + interval '1 day'",
    }[kind.get_internal_type()]


@pytest.mark.parametrize("column", DOCUMENT)
def test_no_column_of_the_document_can_be_changed(sale: Sale, column: str) -> None:
    sale()
    before = Invoice.objects.values().get()

    with pytest.raises(IntegrityError, match="stays as it was issued"):
        run(f"UPDATE deals_invoice SET {column} = {other_value(column)}")

    assert Invoice.objects.values().get() == before


def test_every_column_is_of_the_document_or_the_state() -> None:
    columns = {field.column for field in Invoice._meta.fields}

    assert columns > STATE
    assert len(DOCUMENT) == len(columns) - len(STATE)


def test_its_state_can_be_changed(sale: Sale) -> None:
    sale()

    run("UPDATE deals_invoice SET status = 'overdue', reminders = 1, version = version + 1")

    assert Invoice.objects.get().status == "overdue"


@pytest.mark.parametrize("verb", ["mark-paid", "void"])
def test_paid_and_void_are_final(seller: ApiClient, sale: Sale, verb: str) -> None:
    seller.post(f"{INVOICES}/{sale()['id']}/{verb}", {})

    for statement in (
        "UPDATE deals_invoice SET status = 'issued', paid_at = NULL, voided_at = NULL",
        "UPDATE deals_invoice SET payment_reference = 'other'",
        "UPDATE deals_invoice SET version = version + 1",
    ):
        with pytest.raises(IntegrityError, match="stays as it was issued"):
            run(statement)


@pytest.mark.parametrize("table", ["invoice", "creditnote", "invoicehistory"])
def test_nothing_is_deleted(seller: ApiClient, sale: Sale, table: str) -> None:
    seller.post(f"{INVOICES}/{sale()['id']}/void", {})

    with pytest.raises(IntegrityError, match="stay as they are"):
        run(f"DELETE FROM deals_{table}")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE deals_creditnote SET number = number + 1",
        "UPDATE deals_creditnote SET reason = 'other'",
        "UPDATE deals_invoicehistory SET changes = '{}'",
    ],
)
def test_credit_notes_and_history_are_never_changed(
    seller: ApiClient, sale: Sale, statement: str
) -> None:
    seller.post(f"{INVOICES}/{sale()['id']}/void", {})

    with pytest.raises(IntegrityError, match="stay as they are"):
        run(statement)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("number = 0", "invoice_number"),
        ("total = total + 1", "invoice_adds_up"),
        ("tax_amount = 0, total = net_amount", "invoice_adds_up"),
        ("subtotal = -1, net_amount = -1", "invoice_adds_up"),
        ("buyer_id = seller_id", "invoice_not_to_oneself"),
        ("status = 'paid'", "invoice_state"),
        ("status = 'void', voided_at = now()", "invoice_state"),
        ("status = 'lost'", "invoice_state"),
        ("deal_id = deal_id", "deals_invoice_deal_id_key"),
    ],
)
def test_what_does_not_add_up_is_not_stored(sale: Sale, change: str, constraint: str) -> None:
    """A second invoice, like the first but for `change`."""
    sale()
    run("CREATE TEMPORARY TABLE wrong ON COMMIT DROP AS SELECT * FROM deals_invoice")
    run("UPDATE wrong SET id = gen_random_uuid(), number = 2")
    run(f"UPDATE wrong SET {change}")

    with pytest.raises(IntegrityError, match=constraint):
        run("INSERT INTO deals_invoice SELECT * FROM wrong")
