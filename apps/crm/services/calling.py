"""One call to HubSpot within its budget, for whatever is not the sync."""

import time
from collections.abc import Callable

from apps.crm.enums import PortalStatus
from apps.crm.hubspot.answers import Answer, HubSpotError, Refused, Throttled, Unavailable
from apps.crm.models import Portal
from apps.crm.services import budget

FORBIDDEN = 403
POLL_SECONDS = 0.2
# So often in a row a call may come to nothing before whoever waits for it is told.
PATIENCE = 5
_STANDING_STILL = (PortalStatus.PAUSED, PortalStatus.PARKED)


class NoLeave(Exception):
    """The budget is used up for the moment, or HubSpot is left alone for now."""


class Stalled(HubSpotError):
    """HubSpot will not be called for long: the token is refused, or the day's limit reached."""


def ask(portal_key: str, send: Callable[[], Answer], *, may_lack_scope: bool = False) -> Answer:
    """The answer to the call that `send` makes, counted like every other; raises NoLeave, HubSpotError.

    With `may_lack_scope` a 403 is raised like any, and does not pause what else the token is used for.
    """
    permit = budget.take(portal_key)
    if permit is None:
        raise NoLeave
    try:
        answer = send()
    except Refused as error:
        budget.succeeded(permit, error.limits)
        raise
    except HubSpotError as error:
        if may_lack_scope and error.status == FORBIDDEN:
            budget.succeeded(permit, error.limits)
        else:
            budget.failed(permit, error)
        raise
    budget.succeeded(permit, answer.limits)
    return answer


def ask_patiently(portal_key: str, send: Callable[[], Answer]) -> Answer:
    """The same, waiting for leave and through passing failures; raises HubSpotError."""
    failures = 0
    while True:
        try:
            return ask(portal_key, send)
        except NoLeave:
            refuse_to_stall(portal_key)
            time.sleep(POLL_SECONDS)
        except (Throttled, Unavailable):
            failures += 1
            if failures == PATIENCE:
                raise


def refuse_to_stall(portal_key: str) -> None:
    """Raise Stalled when nobody should wait for HubSpot."""
    portal = Portal.objects.filter(pk=portal_key, status__in=_STANDING_STILL).first()
    if portal is not None:
        raise Stalled(portal.error_detail, reason=portal.error_reason)
