"""The back office's pages of the orders app, loaded by Django's autodiscovery."""

from apps.orders.admin import catalogue, imports, orders

__all__ = ["catalogue", "imports", "orders"]
