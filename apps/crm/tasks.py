"""Celery's door to the sync."""

from apps.common.leases import reconcile
from apps.common.tasks import job
from apps.crm.services.connections import continue_resync
from apps.crm.services.customers import SYNC


@job(SYNC, at_once=3)
def sync() -> bool:
    """Tell HubSpot what it is owed."""
    return reconcile(continue_resync)
