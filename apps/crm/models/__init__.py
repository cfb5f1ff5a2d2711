from apps.crm.models.connections import Connection, MappingCheck, Portal
from apps.crm.models.customers import Customer
from apps.crm.models.erasures import Erasure
from apps.crm.models.inbound import ContactImport, Notice
from apps.crm.models.orders import OrderFold
from apps.crm.models.owed import Owed
from apps.crm.models.syncing import Contact, SoldDeal, SyncAttempt

__all__ = [
    "Connection",
    "Contact",
    "ContactImport",
    "Customer",
    "Erasure",
    "MappingCheck",
    "Notice",
    "OrderFold",
    "Owed",
    "Portal",
    "SoldDeal",
    "SyncAttempt",
]
