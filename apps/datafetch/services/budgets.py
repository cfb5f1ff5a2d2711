"""How fast an account may ask a host: one row of PostgreSQL for all of its streams and all workers.

Not in Redis: a budget that is forgotten would break a promise made to somebody else's server.
"""

from typing import Any
from uuid import UUID

from django.db import connection

from apps.common.ids import uuid7
from apps.datafetch.limits import MAX_SLEEP

_RESERVE = """
INSERT INTO datafetch_hostbudget (id, account_id, host, free_at)
VALUES (%(id)s, %(account)s, %(host)s, clock_timestamp() + make_interval(secs => %(gap)s))
ON CONFLICT (account_id, host) DO UPDATE
   SET free_at = greatest(datafetch_hostbudget.free_at, clock_timestamp())
               + make_interval(secs => %(gap)s)
 WHERE datafetch_hostbudget.free_at <= clock_timestamp() + make_interval(secs => %(patience)s)
RETURNING extract(epoch FROM free_at - make_interval(secs => %(gap)s) - clock_timestamp())::float8
"""

_WAIT = """
SELECT extract(epoch FROM free_at - clock_timestamp())::float8 FROM datafetch_hostbudget
 WHERE account_id = %(account)s AND host = %(host)s
"""

_HOLD = """
INSERT INTO datafetch_hostbudget (id, account_id, host, free_at)
VALUES (%(id)s, %(account)s, %(host)s, clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (account_id, host) DO UPDATE
   SET free_at = greatest(datafetch_hostbudget.free_at, EXCLUDED.free_at)
"""


def reserve(account_id: UUID, host: str, rate: float | None) -> float:
    """Seconds until the next request to `host` may go. Up to MAX_SLEEP it is reserved; a longer wait is
    not, and must be asked for again. `rate` is in requests a second; None asks for no gap."""
    asked: dict[str, Any] = {
        "id": uuid7(),
        "account": account_id,
        "host": host,
        "patience": MAX_SLEEP,
    }
    with connection.cursor() as cursor:
        if rate is not None:
            cursor.execute(_RESERVE, {**asked, "gap": 1.0 / rate})
            if (reserved := cursor.fetchone()) is not None:
                return max(float(reserved[0]), 0.0)
        cursor.execute(_WAIT, asked)
        waiting = cursor.fetchone()
    return max(float(waiting[0]), 0.0) if waiting else 0.0


def hold(account_id: UUID, host: str, seconds: float) -> None:
    """Let no stream of the account ask `host` for so long: it said that it has had enough."""
    with connection.cursor() as cursor:
        cursor.execute(
            _HOLD, {"id": uuid7(), "account": account_id, "host": host, "seconds": seconds}
        )
