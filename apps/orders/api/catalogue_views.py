"""Storefronts and products, with their stock."""

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from apps.common.api.conditional import etag, if_match, not_modified
from apps.common.api.idempotency import idempotent
from apps.common.api.openapi import refusal
from apps.common.api.pagination import PageQuery, keyset_page
from apps.common.api.responses import Json
from apps.common.api.serializers import parse_body, parse_query
from apps.common.api.views import ApiView
from apps.common.schemas import page
from apps.orders import selectors
from apps.orders.api.representations import (
    MOVEMENT,
    STOREFRONT,
    movement_object,
    storefront_object,
)
from apps.orders.api.serializers import (
    ProductChanges,
    ProductInput,
    ProductReplacement,
    ProductsQuery,
    Sku,
    StockAdjustment,
    StockCount,
    StorefrontChanges,
    StorefrontInput,
)
from apps.orders.errors import ProductNotFound, StockReserved, StorefrontNotFound
from apps.orders.events import PRODUCT, product_object
from apps.orders.models import Product, Storefront
from apps.orders.services import products, storefronts

_SHOP = OpenApiExample(
    "A shop",
    value={
        "code": "demo-shop",
        "name": "Demo shop",
        "currency": "EUR",
        "reservation_minutes": 30,
    },
    request_only=True,
)
_RENAMED = OpenApiExample(
    "A new name, and longer reservations",
    value={"name": "Demo shop, mugs and tea", "reservation_minutes": 60},
    request_only=True,
)
_MUG = OpenApiExample(
    "A mug",
    value={"sku": "MUG-BLUE", "name": "Blue mug", "price": 1250, "currency": "EUR", "stock": 100},
    request_only=True,
)
_TEA = OpenApiExample(
    "Tea, with an event when little is left",
    value={
        "sku": "TEA-EARL-GREY",
        "name": "Earl Grey, 100 g",
        "price": 690,
        "currency": "EUR",
        "stock": 40,
        "low_stock_threshold": 5,
    },
    request_only=True,
)
_CHEAPER = OpenApiExample("A lower price", value={"price": 1190}, request_only=True)
_NOT_SOLD = OpenApiExample("Not sold for now", value={"active": False}, request_only=True)
_MUG_SKU = OpenApiParameter(
    "sku",
    OpenApiTypes.STR,
    OpenApiParameter.PATH,
    examples=[OpenApiExample("The mug", value="MUG-BLUE")],
)
_MUG_PUT = OpenApiExample(
    "The mug as it is to be",
    value={"name": "Blue mug", "price": 1190, "currency": "EUR", "low_stock_threshold": 10},
    request_only=True,
)
_COUNTED = OpenApiExample("As counted", value={"on_hand": 80}, request_only=True)
_DELIVERY = OpenApiExample(
    "A delivery", value={"delta": 50, "reason": "delivery 4711"}, request_only=True
)
_BROKEN = OpenApiExample("Broken", value={"delta": -1, "reason": "broken"}, request_only=True)
_RESERVED = refusal(
    "Less than orders hold",
    StockReserved(
        "100 are on hand, 2 of them reserved for orders: no less than those can stay. Cancel orders "
        "first."
    ),
)
_CODE_TAKEN = refusal("A taken code", storefronts.code_taken("demo-shop"))
_SKU_TAKEN = refusal("A taken sku", products.sku_taken("MUG-BLUE"))
_NO_STOREFRONT = StorefrontNotFound("There is no such storefront.")
_NO_PRODUCT = ProductNotFound("There is no such product.")


@extend_schema(tags=["Storefronts"])
class StorefrontsView(ApiView):
    """The storefronts of the caller's account."""

    scope = "orders"

    @extend_schema(
        operation_id="list_storefronts",
        summary="List storefronts",
        parameters=[PageQuery],
        responses={200: page(STOREFRONT)},
    )
    def get(self, request: Request) -> HttpResponse:
        query = parse_query(PageQuery, request)
        rows = selectors.storefronts(self.principal.account_id)
        return keyset_page(request, rows, storefront_object, query)

    @extend_schema(
        operation_id="create_storefront",
        summary="Make a storefront",
        request=StorefrontInput,
        responses={201: STOREFRONT},
        examples=[_SHOP, _CODE_TAKEN],
    )
    @idempotent
    def post(self, request: Request) -> HttpResponse:
        body = parse_body(StorefrontInput, request)
        made = storefronts.create_storefront(account_id=self.principal.account_id, **body)
        return _storefront(made, status=201, location=f"{request.path}/{made.id}")


@extend_schema(tags=["Storefronts"])
class StorefrontView(ApiView):
    """One storefront."""

    scope = "orders"
    not_found = _NO_STOREFRONT

    @extend_schema(
        operation_id="get_storefront", summary="Get a storefront", responses={200: STOREFRONT}
    )
    def get(self, request: Request, storefront_id: UUID) -> HttpResponse:
        found = selectors.storefront(self.principal.account_id, storefront_id)
        return not_modified(request, etag(found.version)) or _storefront(found)

    @extend_schema(
        operation_id="update_storefront",
        summary="Change a storefront",
        description="Orders that were placed before keep what they have.",
        request=StorefrontChanges,
        examples=[_RENAMED],
        responses={200: STOREFRONT},
    )
    def patch(self, request: Request, storefront_id: UUID) -> HttpResponse:
        present = selectors.storefront(self.principal.account_id, storefront_id)
        changes = parse_body(StorefrontChanges, request, current=storefront_object(present))
        changed = storefronts.update_storefront(
            account_id=self.principal.account_id,
            storefront_id=storefront_id,
            changes=changes,
            expected=if_match(request),
        )
        return _storefront(changed)


@extend_schema(tags=["Products"])
class ProductsView(ApiView):
    """The products of the caller's account."""

    scope = "orders"

    @extend_schema(
        operation_id="list_products",
        summary="List products",
        parameters=[ProductsQuery],
        responses={200: page(PRODUCT)},
    )
    def get(self, request: Request) -> HttpResponse:
        query = parse_query(ProductsQuery, request)
        filters = {name: query[name] for name in query.keys() - {"limit", "cursor"}}
        rows = selectors.products(self.principal.account_id, **filters)
        return keyset_page(request, rows, lambda row: product_object(row, row.stock), query)

    @extend_schema(
        operation_id="create_product",
        summary="Make a product",
        request=ProductInput,
        responses={201: PRODUCT},
        examples=[_MUG, _TEA, _SKU_TAKEN],
    )
    @idempotent
    def post(self, request: Request) -> HttpResponse:
        body = parse_body(ProductInput, request)
        made = products.create_product(
            account_id=self.principal.account_id,
            sku=body.pop("sku"),
            fields=body,
            actor=self.actor,
        )
        return _product(made, status=201, location=f"{request.path}/{made.id}")


@extend_schema(tags=["Products"])
class ProductView(ApiView):
    """One product."""

    scope = "orders"
    not_found = _NO_PRODUCT

    @extend_schema(operation_id="get_product", summary="Get a product", responses={200: PRODUCT})
    def get(self, request: Request, product_id: UUID) -> HttpResponse:
        found = selectors.product(self.principal.account_id, product_id)
        return not_modified(request, _product_tag(found)) or _product(found)

    @extend_schema(
        operation_id="update_product",
        summary="Change a product",
        description="Orders that were placed before keep name and price. Stock has calls of its own.",
        request=ProductChanges,
        examples=[_CHEAPER, _NOT_SOLD],
        responses={200: PRODUCT},
    )
    def patch(self, request: Request, product_id: UUID) -> HttpResponse:
        present = selectors.product(self.principal.account_id, product_id)
        current = product_object(present, present.stock)
        changes = parse_body(ProductChanges, request, current=current)
        changed = products.update_product(
            account_id=self.principal.account_id,
            product_id=product_id,
            changes=changes,
            actor=self.actor,
            expected=if_match(request),
        )
        return _product(changed)


@extend_schema(tags=["Products"])
class ProductBySkuView(ApiView):
    """A product under the name that its owner gave it."""

    scope = "orders"

    @extend_schema(
        operation_id="put_product_by_sku",
        summary="Make or replace the product of a sku",
        description=(
            "201 when it was made, 200 when it was there. What is left out is reset, but for `stock`, "
            "which stays; a `stock` that is sent counts what is on hand."
        ),
        parameters=[_MUG_SKU],
        request=ProductReplacement,
        responses={200: PRODUCT, 201: PRODUCT},
        examples=[_MUG_PUT, _RESERVED],
    )
    def put(self, request: Request, sku: str) -> HttpResponse:
        sku = _checked(sku)
        present = selectors.product_by_sku(self.principal.account_id, sku)
        current = product_object(present, present.stock) if present else {"sku": sku}
        body = parse_body(ProductReplacement, request, current=current)
        product, created = products.put_product(
            account_id=self.principal.account_id,
            sku=sku,
            fields=body,
            actor=self.actor,
            expected=if_match(request),
        )
        return _product(product, status=201 if created else 200)


@extend_schema(tags=["Products"])
class StockView(ApiView):
    """What is on the shelf."""

    scope = "orders"
    not_found = _NO_PRODUCT

    @extend_schema(
        operation_id="set_stock",
        summary="Say how many pieces were counted",
        description="409 `stock_reserved` when orders hold more than that.",
        request=StockCount,
        examples=[_COUNTED, _RESERVED],
        responses={200: PRODUCT},
    )
    def put(self, request: Request, product_id: UUID) -> HttpResponse:
        body = parse_body(StockCount, request)
        counted = products.set_stock(
            account_id=self.principal.account_id,
            product_id=product_id,
            on_hand=body["on_hand"],
            actor=self.actor,
            expected=if_match(request),
        )
        return _product(counted)


@extend_schema(tags=["Products"])
class StockAdjustmentsView(ApiView):
    """What came in or went out."""

    scope = "orders"
    not_found = _NO_PRODUCT

    @extend_schema(
        operation_id="adjust_stock",
        summary="Add pieces to the stock, or take some away",
        description="Never below what orders hold: 409 `stock_reserved`.",
        request=StockAdjustment,
        responses={201: PRODUCT},
        examples=[_DELIVERY, _BROKEN, _RESERVED],
    )
    @idempotent
    def post(self, request: Request, product_id: UUID) -> HttpResponse:
        body = parse_body(StockAdjustment, request)
        adjusted = products.adjust_stock(
            account_id=self.principal.account_id, product_id=product_id, actor=self.actor, **body
        )
        return _product(adjusted, status=201)


@extend_schema(tags=["Products"])
class StockMovementsView(ApiView):
    """The ledger."""

    scope = "orders"
    not_found = _NO_PRODUCT

    @extend_schema(
        operation_id="list_stock_movements",
        summary="List the stock movements of a product",
        description="The ledger, newest first. `on_hand` and `reserved` of the product are its sums.",
        parameters=[PageQuery],
        responses={200: page(MOVEMENT)},
    )
    def get(self, request: Request, product_id: UUID) -> HttpResponse:
        query = parse_query(PageQuery, request)
        rows = selectors.stock_movements(self.principal.account_id, product_id)
        return keyset_page(request, rows, movement_object, query)


def _checked(sku: str) -> str:
    """The sku of the path; ValidationError for what no body could name either."""
    try:
        checked: str = Sku().run_validation(sku)
    except ValidationError as error:
        raise ValidationError({"sku": error.detail}) from None
    return checked


def _storefront(storefront: Storefront, *, status: int = 200, location: str = "") -> Json:
    headers = {"ETag": etag(storefront.version)} | ({"Location": location} if location else {})
    return Json(storefront_object(storefront), status=status, headers=headers)


def _product(product: Product, *, status: int = 200, location: str = "") -> Json:
    headers = {"ETag": _product_tag(product)} | ({"Location": location} if location else {})
    return Json(product_object(product, product.stock), status=status, headers=headers)


def _product_tag(product: Product) -> str:
    return etag(product.version, product.stock.on_hand, product.stock.reserved)
