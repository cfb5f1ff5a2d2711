from django.urls import path

from apps.orders.api import bulk_views, catalogue_views, export_views, fulfillment_views, views

urlpatterns = [
    path("orders", views.OrdersView.as_view()),
    path("storefronts", catalogue_views.StorefrontsView.as_view()),
    path("storefronts/<uuid:storefront_id>", catalogue_views.StorefrontView.as_view()),
    path("products", catalogue_views.ProductsView.as_view()),
    path("products/by-sku/<path:sku>", catalogue_views.ProductBySkuView.as_view()),
    path("products/<uuid:product_id>", catalogue_views.ProductView.as_view()),
    path("products/<uuid:product_id>/stock", catalogue_views.StockView.as_view()),
    path(
        "products/<uuid:product_id>/stock-adjustments",
        catalogue_views.StockAdjustmentsView.as_view(),
    ),
    path(
        "products/<uuid:product_id>/stock-movements", catalogue_views.StockMovementsView.as_view()
    ),
    path("orders/bulk", bulk_views.BulkOrdersView.as_view()),
    path("orders/export", export_views.OrderExportView.as_view()),
    path("orders/<uuid:order_id>", views.OrderView.as_view()),
    path("orders/<uuid:order_id>/history", views.OrderHistoryView.as_view()),
    path("orders/<uuid:order_id>/transitions", views.OrderTransitionsView.as_view()),
    path("orders/<uuid:order_id>/shipments", fulfillment_views.ShipmentsView.as_view()),
    path("orders/<uuid:order_id>/returns", fulfillment_views.ReturnsView.as_view()),
    path("orders/<uuid:order_id>/payments", fulfillment_views.PaymentsView.as_view()),
]
