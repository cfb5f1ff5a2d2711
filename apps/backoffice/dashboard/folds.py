"""What is counted by the hour: each kind is one statement over a range of ids, which carry the time.

A statement tells its figures as {figure: {of what: number}}, so that those of two ranges are added member
by member.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from django.db import connection

from apps.backoffice.dashboard.latency import STEPS_PER_DECADE
from apps.common.ids import uuid7_floor
from apps.crm.enums import Outcome
from apps.datafetch.enums import RunStatus
from apps.orders.enums import OrderStatus

Figures = dict[str, dict[str, int]]

# An hour keeps so many storefronts apart, those with most orders; its sums are of all.
MOST_STOREFRONTS = 100


class Fold(NamedTuple):
    """`changes` says whether rows change after their hour, so that it is counted again now and then."""

    statement: str
    changes: bool


_IN_RANGE = "id >= %(low)s AND id < %(high)s"

_ORDERS = f"""
WITH placed AS (
  SELECT storefront_id, currency, count(*) AS orders,
         count(*) FILTER (WHERE status = ANY(%(lost)s)) AS lost,
         coalesce(sum(total) FILTER (WHERE status <> ALL(%(lost)s)), 0) AS revenue
    FROM orders_order WHERE {_IN_RANGE} AND deleted_at IS NULL GROUP BY 1, 2
), largest AS (
  SELECT storefront_id, orders, revenue FROM placed ORDER BY orders DESC LIMIT %(most)s
)
SELECT jsonb_build_object(
  'orders', (SELECT jsonb_build_object('placed', coalesce(sum(orders), 0),
                                       'lost', coalesce(sum(lost), 0)) FROM placed),
  'revenue', (SELECT coalesce(jsonb_object_agg(currency, revenue), '{{}}') FROM (
                SELECT currency, sum(revenue) AS revenue FROM placed GROUP BY 1) c),
  'orders_of', (SELECT coalesce(jsonb_object_agg(storefront_id, orders), '{{}}') FROM largest),
  'revenue_of', (SELECT coalesce(jsonb_object_agg(storefront_id, revenue), '{{}}') FROM largest))
"""  # noqa: S608 - made of constants

_DEALS = f"""
SELECT jsonb_build_object('made', jsonb_build_object(
  'deals', (SELECT count(*) FROM deals_deal WHERE {_IN_RANGE}),
  'bids', (SELECT count(*) FROM deals_bid WHERE {_IN_RANGE}),
  'invoices', (SELECT count(*) FROM deals_invoice WHERE {_IN_RANGE})))
"""  # noqa: S608 - made of constants

# How long it took: from the making of the delivery, which its id tells, to the answer of its first try.
_DELIVERIES = f"""
WITH tried AS (
  SELECT coalesce(status_code BETWEEN 200 AND 299, false) AS ok, number,
         extract(epoch FROM started_at - uuid_extract_timestamp(delivery_id))::float8 * 1000
           + duration_ms AS milliseconds
    FROM webhooks_attempt WHERE {_IN_RANGE}
), took AS (
  SELECT floor({STEPS_PER_DECADE} * log(greatest(milliseconds, 1)))::integer AS step, count(*) AS n
    FROM tried WHERE ok AND number = 1 AND milliseconds IS NOT NULL GROUP BY 1
)
SELECT jsonb_build_object(
  'tries', (SELECT jsonb_build_object('ok', count(*) FILTER (WHERE ok),
                                      'failed', count(*) FILTER (WHERE NOT ok)) FROM tried),
  'took', (SELECT coalesce(jsonb_object_agg(step, n), '{{}}') FROM took))
"""  # noqa: S608 - made of constants

_STREAMS = f"""
SELECT jsonb_build_object(
  'records', jsonb_build_object(
    'brought', coalesce(sum(records_new + records_changed + records_deleted), 0),
    'rejected', coalesce(sum(records_rejected), 0)),
  'runs', jsonb_build_object('all', count(*),
                             'failed', count(*) FILTER (WHERE status = %(run_failed)s)))
  FROM datafetch_run WHERE {_IN_RANGE}
"""  # noqa: S608 - made of constants

_CUSTOMERS = f"""
SELECT jsonb_build_object('customers', jsonb_build_object(
  'synced', count(*) FILTER (WHERE outcome = ANY(%(synced)s)),
  'rejected', count(*) FILTER (WHERE outcome = ANY(%(refused)s))))
  FROM crm_syncattempt WHERE {_IN_RANGE}
"""  # noqa: S608 - made of constants

_EVENTS = f"""
SELECT jsonb_build_object('events', jsonb_build_object('published', count(*)))
  FROM events_event WHERE {_IN_RANGE}
"""  # noqa: S608 - made of constants

FOLDS: dict[str, Fold] = {
    "orders": Fold(_ORDERS, changes=True),
    "deals": Fold(_DEALS, changes=False),
    "deliveries": Fold(_DELIVERIES, changes=False),
    "streams": Fold(_STREAMS, changes=True),
    "customers": Fold(_CUSTOMERS, changes=False),
    "events": Fold(_EVENTS, changes=False),
}

_WORDS = {
    "lost": [OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.RETURNED],
    "run_failed": RunStatus.FAILED,
    "synced": [Outcome.SYNCED, Outcome.UNCHANGED],
    "refused": [Outcome.REJECTED, Outcome.CONFLICT],
    "most": MOST_STOREFRONTS,
}


def parameters(start: datetime, end: datetime) -> dict[str, Any]:
    """What each statement is given, to count what was made from `start` until before `end`."""
    return {**_WORDS, "low": uuid7_floor(start), "high": uuid7_floor(end)}


def fold(kind: str, start: datetime, end: datetime) -> Figures:
    """The figures of what was made from `start` until before `end`, read now."""
    with connection.cursor() as cursor:
        cursor.execute(FOLDS[kind].statement, parameters(start, end))
        (text,) = cursor.fetchone()
    figures: Figures = orjson.loads(text)
    return figures


def added(many: Iterable[Figures]) -> Figures:
    """All of them together."""
    total: Figures = {}
    for figures in many:
        for name, members in figures.items():
            into = total.setdefault(name, {})
            for member, number in members.items():
                into[member] = into.get(member, 0) + number
    return total
