"""Celery's door to the sync, and to what HubSpot tells."""

from apps.common.leases import reconcile
from apps.common.tasks import job
from apps.crm.services import erasing, importing, inbound
from apps.crm.services.checking import CHECK, check_next
from apps.crm.services.connections import continue_resync
from apps.crm.services.customers import SYNC
from apps.crm.services.deal_sync import sync_deals
from apps.crm.services.deals import DEALS
from apps.crm.services.folding import look_at_news
from apps.crm.services.syncing import sync_some


@job(SYNC, at_once=3)
def sync() -> bool:
    """Owe anew what a changed connection or order concerns, then tell HubSpot what it is owed."""
    return reconcile(lambda: continue_resync() or look_at_news() or sync_some())


@job(CHECK, at_once=1)
def check() -> bool:
    """Look at mappings beside HubSpot's list of properties."""
    return reconcile(check_next)


@job(DEALS, at_once=2)
def send_deals() -> bool:
    """Tell HubSpot of the deals that were sold."""
    return reconcile(sync_deals)


@job(inbound.INBOUND, at_once=1)
def take_in() -> bool:
    """Give the customers what HubSpot told of their contacts."""
    inbound.identify_portals()
    return reconcile(inbound.apply_some)


@job(erasing.ERASE, at_once=1)
def erase() -> bool:
    """Go on with the erasure of customers."""
    return reconcile(erasing.erase_some)


@job(importing.IMPORT, at_once=1)
def import_contacts() -> bool:
    """Go on with the first loads of accounts."""
    return reconcile(importing.import_some)


@job("crm.trim")
def trim() -> bool:
    """Forget what HubSpot told and does not repeat any more."""
    return inbound.trim()
