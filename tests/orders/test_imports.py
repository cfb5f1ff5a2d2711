"""Products and stock from CSV: looked at, brought in, and every bad row told."""

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts.models import Account, User
from apps.common.errors import Invalid
from apps.orders.models import Product, ProductImport, StockMovement
from apps.orders.services import imports
from tests.orders.conftest import Shop, assert_ledger_agrees, event_types, movements, stock
from tests.orders.test_changes import OPERATOR
from tests.support import concurrently
from tests.support.currencies import NO_CURRENCY

pytestmark = pytest.mark.django_db

HEAD = "sku,name,price,currency,stock\n"


def bring_in(account: Account, text: str | bytes) -> imports.Report:
    content = text.encode() if isinstance(text, str) else text
    return imports.commit(account_id=account.id, source=io.BytesIO(content), actor=OPERATOR)


def look(account: Account, text: str) -> imports.Report:
    return imports.preview(account_id=account.id, source=io.BytesIO(text.encode()))


def counts(report: imports.Report) -> tuple[int, int, int, int]:
    return report.created, report.updated, report.unchanged, report.refused


def faults(report: imports.Report) -> dict[int, str]:
    return {row.line: row.fault for row in report.bad}


def test_new_products_come_with_their_stock(shop: Shop) -> None:
    report = bring_in(
        shop.api.account,
        "sku,name,price,currency,active,low_stock_threshold,stock\n"
        "MUG,Blue mug,1250,EUR,yes,5,100\n"
        "TEA,Tea,690,EUR,no,,\n",
    )

    assert counts(report) == (2, 0, 0, 0)
    mug, tea = Product.objects.select_related("stock").order_by("sku")
    assert (mug.name, mug.price, mug.is_active) == ("Blue mug", 1250, True)
    assert (mug.stock.on_hand, mug.stock.low_stock_threshold) == (100, 5)
    assert (tea.is_active, tea.stock.on_hand, tea.stock.low_stock_threshold) == (False, 0, None)
    assert movements("MUG") == [("received", 100, 0)]
    shop.order(("MUG", 1))
    assert_ledger_agrees()


def test_only_what_differs_changes_and_a_second_time_nothing(shop: Shop) -> None:
    mug = shop.product("MUG", stock=10)
    shop.product("TEA", stock=10)
    sheet = "sku;stock;price\nMUG;12;\nTEA;;1300\n"

    assert counts(bring_in(shop.api.account, sheet)) == (0, 2, 0, 0)
    assert counts(bring_in(shop.api.account, sheet)) == (0, 0, 2, 0)

    assert stock("MUG") == (12, 0)
    assert movements("MUG")[1:] == [("adjusted", 2, 0)]
    assert Product.objects.get(sku="TEA").price == 1300
    assert shop.api.get(f"/api/v1/products/{mug['id']}").json()["version"] == mug["version"] + 1
    assert_ledger_agrees()


def test_looking_writes_nothing_and_foretells_what_happens(shop: Shop) -> None:
    shop.product("MUG", stock=10)
    sheet = HEAD + "MUG,,,,7\nTEA,Tea,690,EUR,3\nBAD,,x,EUR,1\n"

    foretold = look(shop.api.account, sheet)

    assert stock("MUG") == (10, 0)
    assert Product.objects.count() == 1
    assert StockMovement.objects.count() == 1
    assert foretold == bring_in(shop.api.account, sheet)
    assert counts(foretold) == (1, 1, 0, 1)


def test_bad_rows_are_left_out_and_told(shop: Shop) -> None:
    shop.product("HELD", stock=5)
    shop.order(("HELD", 4))

    report = bring_in(
        shop.api.account,
        HEAD
        + "OK,Fine,1,EUR,1\n"  # line 2
        + ",Nameless,1,EUR,1\n"
        + "A,A,12.50,EUR,1\n"
        + f"B,B,1,{NO_CURRENCY},1\n"
        + "C,C,1,EUR,-1\n"
        + "D,D,1,EUR\n"
        + "OK,Again,1,EUR,1\n"
        + "\n"
        + "E,,,,\n"
        + "HELD,,,,3\n"
        + f"{'F' * 101},F,1,EUR,1\n"
        + '"two\nlines",F,1,EUR,1\n'
        + "G,G,1,EUR,99999999999999999999\n",
    )

    assert counts(report) == (1, 0, 0, 11)
    told = faults(report)
    assert told[3] == "sku is missing"
    assert told[4].startswith("price must be a whole number")
    assert told[5] == "currency must be an active ISO 4217 code"
    assert told[6].startswith("stock must be a number of pieces")
    assert told[7] == "has 4 cells, the first line 5"
    assert told[8] == "line 2 has this sku already"
    assert told[10] == "a new product needs name, price, currency too"
    assert told[11] == "stock may not be below the 4 that orders have reserved"
    assert told[12].startswith("sku must be printable text")
    assert set(told) == {3, 4, 5, 6, 7, 8, 10, 11, 12, 14, 15}
    assert stock("HELD") == (5, 4)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_it_reads_what_spreadsheets_write(
    shop: Shop, encoding: str, separator: str, newline: str
) -> None:
    rows = (HEAD.strip(), 'TEE,"Grüner Tee, ""Größe"" M",690,EUR,3')
    sheet = newline.join(rows)
    if separator != ",":
        sheet = sheet.replace("Tee, ", "Tee@ ").replace(",", separator).replace("@", ",")

    report = bring_in(shop.api.account, sheet.encode(encoding))

    assert counts(report) == (1, 0, 0, 0), report.bad
    assert Product.objects.get().name == 'Grüner Tee, "Größe" M'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"name,price\nx,1\n",
        b"sku,colour\nx,red\n",
        b"sku,sku\nx,y\n",
        b"\x00\x01\x02\xff\xfe\x81",
        b'sku,name\nx,"' + b"y" * 200_000,
        b"sku,name\n\x81\x8d,y\n",
        b"PK\x03\x04 a workbook, not a sheet",
    ],
)
def test_a_file_that_is_no_sheet_is_refused_whole(shop: Shop, content: bytes) -> None:
    with pytest.raises(Invalid):
        bring_in(shop.api.account, content)

    assert not Product.objects.exists()


def test_statements_do_not_grow_with_the_rows(shop: Shop) -> None:
    def statements(rows: int, first: int) -> int:
        sheet = HEAD + "".join(f"SKU-{n},N,1,EUR,1\n" for n in range(first, first + rows))
        with CaptureQueriesContext(connection) as captured:
            assert bring_in(shop.api.account, sheet).created == rows
        return len(captured)

    assert statements(2, 0) == statements(imports.BATCH, 10)


def test_falling_stock_is_told(shop: Shop) -> None:
    mug = shop.product("MUG", stock=10, low_stock_threshold=5)

    bring_in(shop.api.account, "sku,stock\nMUG,4\n")

    assert event_types(mug["id"]) == ["product.stock_low"]


@pytest.mark.django_db(transaction=True)
def test_imports_race_orders_and_each_other(shop: Shop) -> None:
    skus = [f"SKU-{number}" for number in range(5)]
    for sku in skus:
        shop.product(sku, stock=500)

    def act(thread: int) -> Any:
        if thread % 3:
            return [shop.try_order(*((sku, 1) for sku in skus)).status_code for _ in range(8)]
        shuffled = skus[thread % 5 :] + skus[: thread % 5]
        sheet = "sku,stock\n" + "".join(f"{sku},{400 + thread}\n" for sku in shuffled)
        return [counts(bring_in(shop.api.account, sheet))[3] for _ in range(4)]

    outcomes = concurrently(12, act)

    assert {code for codes in outcomes for code in codes} == {0, 201}
    assert_ledger_agrees()


def command(*arguments: str) -> str:
    said = io.StringIO()
    call_command("import_products", *arguments, stdout=said, stderr=io.StringIO())
    return said.getvalue()


@pytest.mark.django_db(transaction=True)
def test_a_product_made_while_the_others_are_locked_is_somebody_elses(shop: Shop) -> None:
    shop.product("MUG", stock=10)

    def make_it(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        answer = execute(sql, params, many, context)
        if 'FROM "orders_stock"' in sql and "FOR NO KEY UPDATE" in sql and not made:
            made.extend(concurrently(1, lambda _: shop.product("TEA", stock=5)))
        return answer

    made: list[Any] = []
    with connection.execute_wrapper(make_it):
        report = bring_in(shop.api.account, HEAD + "MUG,,,,7\nTEA,Tea,690,EUR,3\n")

    assert counts(report) == (0, 1, 0, 1)
    assert "import again" in faults(report)[3]
    assert (stock("MUG"), stock("TEA")) == ((7, 0), (5, 0))
    assert_ledger_agrees()


def test_the_command_rehearses_and_brings_in(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "products.csv"
    file.write_text(HEAD + "MUG,Mug,1,EUR,2\n")
    account = f"--account={shop.api.account.slug}"

    assert command(str(file), account, "--dry-run").startswith("1 would be created")
    assert not Product.objects.exists()
    assert command(str(file), account) == "1 created, 0 updated, 0 unchanged, 0 refused\n"
    assert stock("MUG") == (2, 0)
    file.write_text(HEAD + "X,,,,\nTEA,Tea,1,EUR,1\n")
    with pytest.raises(CommandError, match="1 rows were refused"):
        command(str(file), account)
    assert Product.objects.filter(sku="TEA").exists()
    with pytest.raises(CommandError, match="no account"):
        command(str(file), "--account=nobody")
    with pytest.raises(CommandError, match="No such file"):
        command(str(tmp_path / "none.csv"), account)


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def send(client: Client, account: Account, content: bytes) -> Any:
    file = io.BytesIO(content)
    file.name = "sheet.csv"
    url = reverse("admin:orders_productimport_add")
    return client.post(url, {"account": account.slug, "file": file}, follow=True)


def test_in_the_back_office_a_sheet_is_uploaded_looked_at_and_brought_in(
    shop: Shop, staff: Client
) -> None:
    page = send(staff, shop.api.account, (HEAD + "MUG,Mug,1,EUR,2\nBAD,<b>,x,EUR,2\n").encode())

    kept = ProductImport.objects.get()
    assert "1 created" in page.content.decode()
    assert "price must be a whole number" in page.content.decode()
    assert not Product.objects.exists()
    commit = reverse("admin:orders_productimport_commit", args=[kept.pk])
    assert staff.get(commit).status_code == 405
    done = staff.post(commit, follow=True).content.decode()
    assert "1 created, 0 updated, 1 refused" in done
    assert stock("MUG") == (2, 0)
    assert "has been brought in" in staff.post(commit, follow=True).content.decode()
    assert stock("MUG") == (2, 0)


def test_what_is_no_sheet_is_said_beside_the_file(shop: Shop, staff: Client) -> None:
    assert "must name the columns" in send(staff, shop.api.account, b"a,b\n").content.decode()
    assert "over 1 MiB" in send(staff, shop.api.account, b"x" * (2**20 + 1)).content.decode()
    assert not ProductImport.objects.exists()


def test_who_may_only_look_imports_nothing(shop: Shop) -> None:
    viewer = Client()
    viewer.force_login(User.objects.create_user("viewer", is_staff=True))
    sheet = imports.upload(
        account_id=shop.api.account.id, name="x", content=b"sku\n", actor=OPERATOR
    )

    assert viewer.get(reverse("admin:orders_productimport_add")).status_code == 403
    commit = reverse("admin:orders_productimport_commit", args=[sheet.pk])
    assert viewer.post(commit).status_code == 403
