"""Celery's door to the sync."""

from apps.common.leases import reconcile
from apps.common.tasks import job
from apps.crm.services.connections import continue_resync
from apps.crm.services.customers import SYNC
from apps.crm.services.syncing import sync_some


@job(SYNC, at_once=3)
def sync() -> bool:
    """Owe anew what a changed connection concerns, then tell HubSpot what it is owed."""
    return reconcile(lambda: continue_resync() or sync_some())
