"""The back office's pages of the orders app, loaded by Django's autodiscovery."""

from apps.orders.admin import catalogue, fulfillment, imports, orders

__all__ = ["catalogue", "fulfillment", "imports", "orders"]
