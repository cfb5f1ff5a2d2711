"""Lists stay fast because of how they are read: by index, a step for each seller, whatever is filtered."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Account
from apps.deals.models import Deal
from apps.deals.selectors.deals import _FILTERS, visible_deals
from apps.deals.selectors.windows import Window
from apps.events.models import Event
from tests.conftest import MakeAccount
from tests.deals.support import AUTHORIZATIONS, DEALS, Deals
from tests.support import ApiClient

SELLERS, DEALS_EACH, LIMIT = 60, 100, 20

_DEALS = """
INSERT INTO deals_deal (id, seller_id, name, status, currency, total_price, discount_type,
                        discount_amount, final_price, version, created_at, updated_at)
SELECT (lpad(to_hex(1700000000000 + n), 12, '0') || '7000a' || substr(md5(n::text), 1, 15))::uuid,
       s.id, 'Deal', 'available', 'EUR', n, '', 0, n, 1, now(), now()
  FROM generate_series(1, %s) n
  JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS number
          FROM accounts_account WHERE slug LIKE 'many-%%') s ON s.number = n %% %s
"""


@pytest.fixture
def buyer(make_account: MakeAccount) -> Account:
    """Authorised by every second of many sellers with many deals each."""
    buyer = make_account()
    Account.objects.bulk_create(
        Account(slug=f"many-{number}", name="Many") for number in range(SELLERS)
    )
    with connection.cursor() as cursor:
        cursor.execute(_DEALS, [SELLERS * DEALS_EACH, SELLERS])
        cursor.execute(
            "INSERT INTO deals_authorization (id, seller_id, buyer_id)"
            " SELECT gen_random_uuid(), id, %s FROM accounts_account"
            " WHERE slug LIKE 'many-%%' AND substr(slug, 6)::int %% 2 = 0",
            [buyer.id],
        )
        cursor.execute("ANALYZE deals_deal")
        cursor.execute("ANALYZE deals_authorization")
    return buyer


def scans(node: dict[str, Any], table: str) -> list[dict[str, Any]]:
    """The nodes of a plan that read the table."""
    own = [node] if node.get("Relation Name") == table else []
    return own + [scan for inner in node.get("Plans", []) for scan in scans(inner, table)]


def plan_of(buyer: Account, **filters: Any) -> dict[str, Any]:
    rows = visible_deals(buyer.id, filters=filters, window=Window(LIMIT + 1))
    statement, parameters = rows.order_by("-pk")[: LIMIT + 1].query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
        plan: dict[str, Any] = cursor.fetchone()[0][0]["Plan"]
    return plan


@pytest.mark.parametrize(
    "filters", [{}, {"status": "available"}, {"min_price": 10}], ids=["all", "status", "price"]
)
def test_a_page_reads_a_step_for_each_seller_and_a_page_of_some(
    buyer: Account, filters: dict[str, Any]
) -> None:
    found = scans(plan_of(buyer, **filters), "deals_deal")

    assert found
    assert all("Index" in scan["Node Type"] for scan in found)
    read = sum(scan["Actual Rows"] * scan["Actual Loops"] for scan in found)
    assert read <= SELLERS // 2 + (LIMIT + 1) ** 2 + 3 * (LIMIT + 1)


def test_what_lists_filter_by_is_in_their_index() -> None:
    """So a filter that passes nothing reads the index alone: 1 million deals in half a second."""
    (index,) = [index for index in Deal._meta.indexes if index.name == "deal_list"]

    assert {lookup.partition("__")[0] for lookup in _FILTERS.values()} == set(index.include)


def test_telling_buyers_costs_the_same_however_many_there_are(
    seller: ApiClient, make_account: MakeAccount, deals: Deals
) -> None:
    counts = []
    for more in (1, 30):
        for _ in range(more):
            seller.post(AUTHORIZATIONS, {"buyer": make_account().slug})
        path, events = f"{DEALS}/{deals()['id']}", Event.objects.count()
        with CaptureQueriesContext(connection) as queries:
            assert seller.patch(path, {"total_price": 5}).status_code == 200
        counts.append((len(queries), Event.objects.count() - events))

    assert counts[0] == counts[1]
    assert counts[0][1] == 1
