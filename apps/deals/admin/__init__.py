from apps.deals.admin import authorizations, deals, invoices

__all__ = ["authorizations", "deals", "invoices"]
