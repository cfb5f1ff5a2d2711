from apps.deals.admin import authorizations, bids, deals, invoices

__all__ = ["authorizations", "bids", "deals", "invoices"]
