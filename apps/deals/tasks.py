"""Celery's doors to the deals app."""

from apps.common.leases import reconcile
from apps.common.tasks import job
from apps.deals.services import auctions, bids, invoice_mail, invoices


@job(auctions.CLOSE)
def close_auctions() -> bool:
    """Close the auctions whose time is over."""
    return reconcile(lambda: auctions.close_auctions() > 0)


@job(bids.EXPIRE)
def expire_bids() -> bool:
    """Let bids lapse whose time has run out."""
    return reconcile(lambda: bids.expire_bids() > 0)


@job(invoice_mail.MAIL)
def mail_invoices() -> bool:
    """Write the mails that are owed about invoices."""
    return reconcile(invoice_mail.write_some)


@job(invoices.REMIND)
def remind() -> bool:
    """Remind the buyers of invoices that are overdue."""
    return reconcile(lambda: invoices.remind() == invoices.REMIND_BATCH)
