from apps.deals.models.authorizations import Authorization
from apps.deals.models.bids import Bid
from apps.deals.models.deals import Deal, DealHistory, DealItem
from apps.deals.models.invoices import (
    CreditNote,
    DocumentCounter,
    Invoice,
    InvoiceHistory,
    InvoiceMail,
)

__all__ = [
    "Authorization",
    "Bid",
    "CreditNote",
    "Deal",
    "DealHistory",
    "DealItem",
    "DocumentCounter",
    "Invoice",
    "InvoiceHistory",
    "InvoiceMail",
]
