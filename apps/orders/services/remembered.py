"""Storefronts and products as this process has last read them, so that an order need not read them first.

None of it is believed: `orders_post_v1` compares what an order was built of with what is (docs/adr/0042).
"""

from uuid import UUID

from apps.orders.models import Product, Storefront
from apps.orders.services.building import Catalogue, NewOrder

LIMIT = 10_000

_storefronts: dict[tuple[UUID, str], Storefront] = {}
_products: dict[tuple[UUID, str], Product] = {}


def recall(account_id: UUID, wanted: NewOrder) -> Catalogue | None:
    """What this order names; None unless all of it is remembered."""
    storefront = _storefronts.get((account_id, wanted.storefront))
    products: dict[str, Product] = {}
    for sku in wanted.items.skus:
        product = _products.get((account_id, sku))
        if product is None:
            return None
        products[sku] = product
    return Catalogue({wanted.storefront: storefront}, products) if storefront else None


def remember(account_id: UUID, catalogue: Catalogue) -> None:
    """Keep what was read just now; beyond LIMIT of both it begins anew."""
    if len(_storefronts) + len(_products) >= LIMIT:
        _storefronts.clear()
        _products.clear()
    _storefronts.update({(account_id, code): one for code, one in catalogue.storefronts.items()})
    _products.update({(account_id, sku): one for sku, one in catalogue.products.items()})
