"""The sync of deals: takes what is owed to HubSpot there, up to 100 deals a call, each with its contact.

A deal is made by one call together with its association, or not at all. That it is made once is kept by a
property of ours that is unique in HubSpot: after a call without a known outcome the deal is looked for by
it before anything else, and a second one would be refused.
"""

import time
from collections.abc import Sequence

import structlog
from django.db.models import Case, CharField, Q, Value, When

from apps.common.wakeups import wake
from apps.crm import selectors
from apps.crm.enums import Call
from apps.crm.hubspot.answers import Answer, HubSpotError, Refused, TokenRefused
from apps.crm.hubspot.client import HubSpot
from apps.crm.models import SoldDeal
from apps.crm.selectors import Line
from apps.crm.services import budget, deal_recording
from apps.crm.services.batching import LOOKED_AT, serve_one, take_batch
from apps.crm.services.calling import FORBIDDEN, NoLeave, ask
from apps.crm.services.deal_judging import DealParcel, judge, judge_failure, lacks_property
from apps.crm.services.deal_recording import DealRound
from apps.crm.services.deals import DEALS, contacts_of, properties_of, set_aside
from apps.crm.services.syncing import daily_reset

# Those in doubt first: what is found there goes with the updates.
_ORDER = (Call.FIND_DEALS, Call.MAKE_DEALS, Call.UPDATE_DEALS)
_MISSING, _TAKEN = 404, 409

log = structlog.get_logger(__name__)


def sync_deals() -> bool:
    """Make one call, for any of the accounts that wait and may call; False when there is none."""
    waiting = [line for line in selectors.lines_waiting(SoldDeal) if line.sends_deals]
    held = selectors.portals_without_deals(line.portal_key for line in waiting)
    return serve_one([line for line in waiting if line.portal_key not in held], _sync, DEALS)


def _sync(line: Line) -> bool:
    rows = SoldDeal.objects.annotate(call=_call_needed(line))
    if set_aside(line, rows.filter(call=Call.MAKE_DEALS), LOOKED_AT):
        return True
    token = selectors.token_of(line.account_id, line.portal_key)
    if token is None or not _is_prepared(HubSpot(token), line):
        return False
    batch = take_batch(DEALS, line, rows, _ORDER)
    if batch is None:
        return False
    parcels = _parcels(line, batch.call, batch.rows) if batch.rows else []
    if not parcels:
        budget.give_back(batch.permit)
        return True
    if batch.is_full:
        wake(DEALS)  # there may be work for one more
    made = DealRound(line.account_id, batch.call, batch.permit)
    _deliver(HubSpot(token), line, made, parcels)
    return True


def _call_needed(line: Line) -> Case:
    """By HubSpot's id where it is known; a deal that HubSpot may have is looked for; others are made."""
    known = Q(hubspot_id__isnull=False, portal_key=line.portal_key)
    new = Q(hubspot_id=None, sending__isnull=True, acknowledged={})
    return Case(
        When(known, then=Value(Call.UPDATE_DEALS.value)),
        When(new, then=Value(Call.MAKE_DEALS.value)),
        default=Value(Call.FIND_DEALS.value),
        output_field=CharField(),
    )


def _is_prepared(hubspot: HubSpot, line: Line) -> bool:
    """Whether HubSpot has our unique property, which is made if it is not there: once for each token."""
    if selectors.has_deal_property(line.portal_key):
        return True
    # Looked for again at the end: another worker may have made it at the same time.
    for send, passing in (
        (hubspot.deal_property, _MISSING),
        (hubspot.make_deal_property, _TAKEN),
        (hubspot.deal_property, None),
    ):
        try:
            answer = ask(line.portal_key, send, may_lack_scope=True)
        except (Refused, TokenRefused) as error:
            if error.status != passing:
                budget.hold_deals(line.portal_key, error.detail)
                return False
        except (NoLeave, HubSpotError):
            return False
        else:
            return budget.note_deal_property(line.portal_key, answer.body)
    return False


def _parcels(line: Line, call: Call, claimed: Sequence[SoldDeal]) -> list[DealParcel]:
    """What each claimed deal is to be sent; those of which HubSpot has all are done."""
    deals = list(SoldDeal.objects.select_related("buyer").filter(lease_id=claimed[0].lease_id))
    contacts = contacts_of(line, deals) if call == Call.MAKE_DEALS else {}
    parcels = [
        DealParcel(deal, properties_of(line, deal), call, contacts.get(deal.buyer_id, ""))
        for deal in deals
    ]
    ready = [one for one in parcels if one.is_ready]
    deal_recording.record_unsent([one for one in parcels if not one.is_ready])
    return ready


def _deliver(hubspot: HubSpot, line: Line, made: DealRound, parcels: Sequence[DealParcel]) -> None:
    if made.call != Call.FIND_DEALS:
        parcels = deal_recording.note_sending(parcels)
    if not parcels:  # their lease ran out meanwhile
        budget.give_back(made.permit)
        return
    started = time.monotonic()
    try:
        answer = _ask(hubspot, made.call, parcels)
    except HubSpotError as error:
        log.warning(
            "hubspot_call_failed",
            account_id=str(line.account_id),
            call=made.call.value,
            status=error.status,
            reason=error.reason,
            correlation_id=error.correlation_id,
        )
        verdicts = judge_failure(parcels, error)
        deal_recording.record(made, verdicts, error, time.monotonic() - started)
        if isinstance(error, Refused):
            budget.succeeded(made.permit, error.limits)
        else:
            _note_failure(line, made.permit, error, hubspot)
    else:
        verdicts = judge(line, made.call, parcels, answer)
        deal_recording.record(made, verdicts, answer, time.monotonic() - started)
    if lacks_property(verdicts):
        budget.forget_deal_property(line.portal_key)


def _ask(hubspot: HubSpot, call: Call, parcels: Sequence[DealParcel]) -> Answer:
    match call:
        case Call.FIND_DEALS:
            names = list(parcels[0].wanted)
            return hubspot.find_deals([str(one.id) for one in parcels], names)
        case Call.MAKE_DEALS:
            made = {str(one.id): (one.payload, one.contact_id) for one in parcels}
            return hubspot.make_deals(made)
    return hubspot.update_deals({one.deal.hubspot_id or "": one.payload for one in parcels})


def _note_failure(line: Line, permit: budget.Permit, error: HubSpotError, hubspot: HubSpot) -> None:
    """A token that may not see to deals may see to contacts: only deals wait."""
    if error.status == FORBIDDEN:
        budget.succeeded(permit, error.limits)
        budget.hold_deals(line.portal_key, error.detail)
    else:
        budget.failed(permit, error, daily_reset(hubspot, error))
