"""The tables of orders, by what they are about."""

from apps.orders.models.catalogue import Product, ProductImport, Storefront
from apps.orders.models.fulfillment import Payment, Return, ReturnItem, Shipment, ShipmentItem
from apps.orders.models.orders import Erasure, Order, OrderChange, OrderLine
from apps.orders.models.stock import Stock, StockCheck, StockDrift, StockMovement

__all__ = [
    "Erasure",
    "Order",
    "OrderChange",
    "OrderLine",
    "Payment",
    "Product",
    "ProductImport",
    "Return",
    "ReturnItem",
    "Shipment",
    "ShipmentItem",
    "Stock",
    "StockCheck",
    "StockDrift",
    "StockMovement",
    "Storefront",
]
