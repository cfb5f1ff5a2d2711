"""The sidebar of the back office, by business. What a person may not see is not in it."""

from typing import Any

from django.apps import apps
from django.http import HttpRequest
from django.urls import reverse

# Group, then its pages: model, name, icon (Material Symbols).
GROUPS: list[tuple[str, list[tuple[str, str, str]]]] = [
    (
        "Orders",
        [
            ("orders.Order", "Orders", "shopping_cart"),
            ("orders.Product", "Products", "sell"),
            ("orders.ProductImport", "Product imports", "upload_file"),
            ("orders.Stock", "Stock", "inventory_2"),
            ("orders.StockMovement", "Stock ledger", "receipt_long"),
            ("orders.StockDrift", "Stock drifts", "warning"),
            ("orders.Storefront", "Storefronts", "storefront"),
        ],
    ),
    (
        "Deals",
        [
            ("deals.Deal", "Deals", "handshake"),
            ("deals.Bid", "Bids", "gavel"),
            ("deals.Invoice", "Invoices", "request_quote"),
            ("deals.CreditNote", "Credit notes", "assignment_return"),
            ("deals.Authorization", "Authorisations", "verified_user"),
        ],
    ),
    (
        "Data fetch",
        [
            ("datafetch.Stream", "Streams", "sync"),
            ("datafetch.Run", "Runs", "history"),
            ("datafetch.Consumer", "Consumers", "groups"),
            ("datafetch.SchemaVersion", "Schemas", "schema"),
            ("datafetch.Rejected", "Rejected records", "block"),
        ],
    ),
    (
        "CRM",
        [
            ("crm.Contact", "Customers", "contacts"),
            ("crm.SoldDeal", "Deals sold", "handshake"),
            ("crm.Connection", "Connections", "hub"),
            ("crm.Portal", "HubSpot", "speed"),
            ("crm.SyncAttempt", "Attempts", "sync_alt"),
            ("crm.ContactImport", "Imports", "download"),
            ("crm.Erasure", "Erasures", "person_remove"),
        ],
    ),
    (
        "Webhooks",
        [
            ("webhooks.Endpoint", "Endpoints", "webhook"),
            ("webhooks.Delivery", "Deliveries", "outgoing_mail"),
            ("webhooks.Replay", "Replays", "replay"),
        ],
    ),
    (
        "Access",
        [
            ("accounts.Account", "Accounts", "business"),
            ("accounts.ApiKey", "API keys", "key"),
            ("accounts.User", "People", "person"),
            ("auth.Group", "Roles", "badge"),
            ("axes.AccessLog", "Sign-ins", "login"),
            ("axes.AccessAttempt", "Failed sign-ins", "lock"),
            ("admin.LogEntry", "Changes by people", "manage_history"),
        ],
    ),
    (
        "System",
        [
            ("common.JobRun", "Jobs", "schedule"),
            ("common.BulkAction", "Actions on many", "checklist"),
            ("events.Event", "Events", "event_note"),
            ("events.Consumer", "Event consumers", "rule"),
            ("common.Message", "E-mail", "mail"),
        ],
    ),
]

# Those with pages that others link to; in no menu.
HIDDEN = {
    "deals.DealHistory",
    "deals.DealItem",
    "deals.InvoiceHistory",
    "deals.InvoiceMail",
    "events.Channel",
    "orders.OrderChange",
    "orders.OrderLine",
    "orders.Payment",
    "orders.Return",
    "orders.Shipment",
    "webhooks.Attempt",
}

# Those without a page: parts of what another page shows, and the books of reconcilers.
UNSHOWN = {
    "accounts.SecondFactor",
    "backoffice.Hour",
    "common.BulkItem",
    "common.Heartbeat",
    "common.IdempotencyKey",
    "common.MessageAttachment",
    "crm.Customer",
    "crm.MappingCheck",
    "crm.Notice",
    "crm.OrderFold",
    "datafetch.HostBudget",
    "datafetch.Page",
    "datafetch.Progress",
    "datafetch.Record",
    "deals.DocumentCounter",
    "events.ChannelMember",
    "events.Counter",
    "events.Reader",
    "orders.Erasure",
    "orders.ReturnItem",
    "orders.ShipmentItem",
    "orders.StockCheck",
    "webhooks.Due",
    "webhooks.FanOut",
    "webhooks.Pace",
    "webhooks.RetiredSecret",
    "webhooks.Undelivered",
}


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The dashboard and the groups, as unfold wants them."""
    first = {"title": "Dashboard", "icon": "dashboard", "link": reverse("admin:index")}
    groups = [
        {"title": title, "collapsible": True, "items": _items(pages, request)}
        for title, pages in GROUPS
    ]
    return [{"items": [first]}, *(group for group in groups if group["items"])]


def _items(pages: list[tuple[str, str, str]], request: HttpRequest) -> list[dict[str, str]]:
    items = []
    for label, title, icon in pages:
        meta = apps.get_model(label)._meta
        if request.user.has_perm(f"{meta.app_label}.view_{meta.model_name}"):
            link = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
            items.append({"title": title, "icon": icon, "link": link})
    return items
