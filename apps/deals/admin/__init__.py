from apps.deals.admin import authorizations, deals

__all__ = ["authorizations", "deals"]
