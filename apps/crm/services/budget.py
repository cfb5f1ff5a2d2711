"""The one budget of a token, and whether HubSpot answers it: a row in PostgreSQL that all workers share.

A call is counted before it is made, by one statement that also says no. HubSpot's short limit is a
rolling window, so the times of the latest calls are kept, a second longer than the window lasts: that
much may pass between the count here and the count there. While HubSpot does not answer, one worker at a
time may probe; the first success opens it for all.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import F, Value
from django.db.models.functions import Greatest, Least, Now

from apps.crm.enums import PortalStatus
from apps.crm.hubspot.answers import (
    LONGEST_SECONDS,
    DailyLimitReached,
    HubSpotError,
    Limits,
    Throttled,
    TokenRefused,
)
from apps.crm.hubspot.client import DEAL_ID, MAX_BATCH
from apps.crm.models import Portal

PROBE_SECONDS = 15.0
LONGEST_THROTTLE_SECONDS = 60.0
# A token that was refused is tried now and then: what is wrong with it may be mended at HubSpot.
PAUSE_SECONDS = 3600.0
# How long to wait for the daily limit when HubSpot does not say.
PARK_SECONDS = 3600.0
MARGIN_SECONDS = 1.0

_TAKE = """
UPDATE crm_portal AS p
   SET recent = array_append(ARRAY(SELECT t FROM unnest(p.recent) t
         WHERE t > clock_timestamp() - make_interval(secs => p.interval_seconds + %(margin)s)),
       clock_timestamp()),
       resume_at = CASE WHEN p.status = %(ok)s THEN NULL
         ELSE clock_timestamp() + make_interval(secs => %(probe)s) END
 WHERE p.key = %(key)s AND (p.resume_at IS NULL OR p.resume_at <= clock_timestamp())
   AND (SELECT count(*) FROM unnest(p.recent) t
         WHERE t > clock_timestamp() - make_interval(secs => p.interval_seconds + %(margin)s))
       < p.rate_limit
RETURNING p.status, p.failures
"""


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one call. `failures` in a row came before it; with a `probe` few should be sent."""

    key: str
    status: PortalStatus
    failures: int

    @property
    def is_probe(self) -> bool:
        return self.status != PortalStatus.OK

    @property
    def most(self) -> int:
        """How many customers to send: one is enough to find out whether HubSpot answers at all."""
        return MAX_BATCH if self.status in (PortalStatus.OK, PortalStatus.THROTTLED) else 1


def take(key: str) -> Permit | None:
    """Count a call to be made now; None when the limit is reached or HubSpot is left alone for now."""
    permit = _take(key)
    if permit is None and not Portal.objects.filter(pk=key).exists():
        Portal.objects.bulk_create([Portal(key=key)], ignore_conflicts=True)
        permit = _take(key)
    return permit


def give_back(permit: Permit) -> None:
    """The call was not made after all."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE crm_portal SET recent = trim_array(recent, least(cardinality(recent), 1)),"
            " resume_at = CASE WHEN status = %s THEN resume_at ELSE now() END WHERE key = %s",
            [PortalStatus.OK.value, permit.key],
        )


def succeeded(permit: Permit, limits: Limits, *, changed: int = 0) -> None:
    """Note that HubSpot answered, and took the changes of `changed` customers."""
    columns = _limit_columns(limits)
    if permit.is_probe:
        columns |= {
            "status": PortalStatus.OK,
            "failures": 0,
            "resume_at": None,
            "error_reason": "",
            "error_detail": "",
            "since": Now(),
        }
    Portal.objects.filter(pk=permit.key).update(
        calls=F("calls") + 1, changed=F("changed") + changed, **columns
    )


def failed(permit: Permit, error: HubSpotError, resets_at: datetime | None = None) -> bool:
    """Leave HubSpot alone for a while: as long as it says, and longer each time. True when the token is
    paused by this very call. `resets_at` is when the daily limit is whole again."""
    status, seconds = _verdict(permit, error)
    resume: Any = Now() + timedelta(seconds=seconds)
    if status == PortalStatus.PARKED and resets_at is not None and error.retry_after is None:
        latest = Now() + timedelta(seconds=LONGEST_SECONDS)
        resume = Least(
            Greatest(Value(resets_at), Now() + timedelta(seconds=MARGIN_SECONDS)), latest
        )
    if not permit.is_probe:  # of several calls at once, the longest wait holds
        resume = Greatest(F("resume_at"), resume)
    rows = Portal.objects.filter(pk=permit.key)
    is_new = rows.exclude(status=status).update(status=status, since=Now()) == 1
    rows.update(
        calls=F("calls") + 1,
        failures=Greatest(F("failures"), permit.failures + 1),
        resume_at=resume,
        error_reason=error.reason,
        error_detail=error.detail,
        **_limit_columns(error.limits),
    )
    return is_new and status == PortalStatus.PAUSED


def hold_deals(key: str, detail: str) -> None:
    """Leave HubSpot's deals alone for a while: this token may not see to them, or cannot."""
    Portal.objects.filter(pk=key).update(
        deals_resume_at=Now() + timedelta(seconds=PAUSE_SECONDS), deals_error=detail[:1000]
    )


def note_deal_property(key: str, described: Mapping[str, Any]) -> bool:
    """Note that HubSpot has the property that our deals are found by; False when it is not unique, and
    deals have to wait for somebody to mend that."""
    if described.get("hasUniqueValue") is not True:
        hold_deals(key, f"HubSpot's deal property {DEAL_ID} is there, and is not unique.")
        return False
    Portal.objects.filter(pk=key).update(
        has_deal_property=True, deals_resume_at=None, deals_error=""
    )
    return True


def forget_deal_property(key: str) -> None:
    """It is there no longer, and is to be made again."""
    Portal.objects.filter(pk=key).update(has_deal_property=False)


def backoff(failures: int, longest: float) -> float:
    """Seconds to wait after `failures` in a row: doubling from 1, with jitter until `longest`."""
    seconds = 2.0 ** min(failures, 20)
    if seconds >= longest:
        return longest
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret


def _take(key: str) -> Permit | None:
    values: dict[str, str | float] = {
        "key": key,
        "margin": MARGIN_SECONDS,
        "probe": PROBE_SECONDS,
        "ok": PortalStatus.OK.value,
    }
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, values)
        row = cursor.fetchone()
    return None if row is None else Permit(key, PortalStatus(row[0]), row[1])


def _verdict(permit: Permit, error: HubSpotError) -> tuple[PortalStatus, float]:
    """What the token's status becomes, and for how many seconds at the least."""
    hint = error.retry_after or 0.0
    match error:
        case TokenRefused():
            return PortalStatus.PAUSED, PAUSE_SECONDS
        case DailyLimitReached():
            return PortalStatus.PARKED, hint or PARK_SECONDS
        case Throttled():
            wait = backoff(permit.failures, LONGEST_THROTTLE_SECONDS)
            return PortalStatus.THROTTLED, max(hint, wait)
    return PortalStatus.UNAVAILABLE, max(hint, backoff(permit.failures, PROBE_SECONDS))


def _limit_columns(limits: Limits) -> dict[str, Any]:
    told = {
        "rate_limit": limits.calls,
        "interval_seconds": limits.interval_seconds,
        "daily_limit": limits.daily,
        "daily_remaining": limits.daily_remaining,
    }
    return {name: value for name, value in told.items() if value is not None}
