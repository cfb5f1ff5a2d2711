"""What the CRM listens to: orders, for the figures of their customers; sales of deals, and who of their
buyers HubSpot has.

The types are words of other apps, which need not be installed.
"""

from collections.abc import Sequence
from itertools import groupby

from apps.crm.services.deals import note_contacts, note_sales, note_taken_back
from apps.crm.services.folding import ERASED, fold
from apps.events.models import Event
from apps.events.subscriptions import subscribe

ORDERS = "crm.orders"
DEALS = "crm.deals"

_TOLD_BY = {
    "invoice.issued": note_sales,
    "invoice.voided": note_taken_back,
    "customer.synced": note_contacts,
}


# One cursor for both: an order placed before its customer is erased has been folded by then.
@subscribe(ORDERS, types=("order.*", ERASED))
def on_orders(events: Sequence[Event]) -> None:
    """Fold orders, a row each, by their newest event."""
    fold(events)


@subscribe(DEALS, types=tuple(_TOLD_BY))
def on_sales(events: Sequence[Event]) -> None:
    """Owe HubSpot what was sold, taken back, or waited for its buyer's contact."""
    for kind, some in groupby(events, key=lambda event: event.type):
        _TOLD_BY[kind](list(some))
