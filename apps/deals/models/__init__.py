from apps.deals.models.authorizations import Authorization
from apps.deals.models.deals import Deal, DealHistory, DealItem

__all__ = ["Authorization", "Deal", "DealHistory", "DealItem"]
