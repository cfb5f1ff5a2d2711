"""What can go wrong with storefronts, products, stock and orders."""

from apps.common.errors import Conflict, Invalid, NotFound


class StorefrontNotFound(NotFound):
    code = "storefront_not_found"


class ProductNotFound(NotFound):
    code = "product_not_found"


class OrderNotFound(NotFound):
    code = "order_not_found"


class StorefrontCodeTaken(Conflict):
    code = "code_taken"
    title = "The code is taken"


class SkuTaken(Conflict):
    code = "sku_taken"
    title = "The sku is taken"


class ExternalIdTaken(Conflict):
    code = "external_id_taken"
    title = "The external_id is taken"


class InsufficientStock(Conflict):
    """`faults` name each short item: sku, requested, available."""

    code = "insufficient_stock"
    title = "There is not enough in stock"


class StockReserved(Conflict):
    """Stock would fall below what is reserved for orders."""

    code = "stock_reserved"
    title = "Orders have reserved this stock"


class InvalidTransition(Conflict):
    code = "invalid_transition"
    title = "The order cannot go there from where it stands"


class OrderNotEditable(Conflict):
    code = "order_not_editable"
    title = "The items can no longer change"


class AlreadyShipped(Conflict):
    """The items would fall below what has been shipped of them."""

    code = "already_shipped"
    title = "Shipped items stay in the order"


class MoreThanLeft(Conflict):
    """`faults` name each item: sku, requested, left (to be shipped, or to come back)."""

    code = "more_than_left"
    title = "There is not that much left"


class TooManyShipments(Conflict):
    code = "too_many_shipments"
    title = "The order has too many shipments"


class ReferenceTaken(Conflict):
    """Another payment of this kind and reference was recorded, of another amount."""

    code = "reference_taken"
    title = "The reference is taken"


class RefundTooLarge(Conflict):
    """More would have been refunded than was captured."""

    code = "refund_too_large"
    title = "More would be refunded than was captured"


class OrderInvalid(Invalid):
    """An order names something that does not exist, or that cannot be sold this way."""

    code = "invalid"
