"""Customers, how far HubSpot is with them, and how it fares. Tokens are shown to nobody."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe

from apps.common.admin import BaseModelAdmin
from apps.common.errors import DomainError
from apps.common.money import display
from apps.crm import selectors
from apps.crm.enums import FindingLevel
from apps.crm.models import (
    Connection,
    Contact,
    ContactImport,
    Erasure,
    Portal,
    SoldDeal,
    SyncAttempt,
)
from apps.crm.services.checking import request_check
from apps.crm.services.connections import request_resync
from apps.crm.services.customers import request_sync
from apps.crm.services.deals import request_deal
from apps.crm.services.erasing import retry_erasure
from apps.crm.services.importing import pause_import, start_import


@admin.register(Contact)
class ContactAdmin(BaseModelAdmin):
    """Each customer: filtered by "failed", the list of those that HubSpot rejects, with its reasons."""

    list_display = (
        "customer",
        "account",
        "state",
        "is_owed",
        "error_code",
        "error_property",
        "error_reason",
        "error_detail",
        "synced_at",
        "due_at",
    )
    list_filter = ("state", "error_code")
    list_select_related = ("customer", "account")
    search_ids = ("pk", "account_id")
    search_help_text = "A whole id, of the customer or its account."
    exclude = ("lease_id", "lease_until", "claims")
    readonly_fields = ("orders", "attempts")
    actions = ("sync",)

    @admin.display(boolean=True, description="owed")
    def is_owed(self, contact: Contact) -> bool:
        return contact.revision > contact.synced_revision

    @admin.display(description="orders that count")
    def orders(self, contact: Contact) -> str:
        external_id = contact.customer.external_id or ""
        figures = selectors.order_figures(contact.account_id, [external_id]).get(external_id)
        if figures is None:
            return "none"
        spent = ", ".join(display(amount, currency) for currency, amount in figures.spent.items())
        return f"{figures.count}, for {spent}; the last is {figures.last_number}"

    @admin.display(description="attempts")
    def attempts(self, contact: Contact) -> str:
        path = reverse("admin:crm_syncattempt_changelist")
        return format_html('<a href="{}?q={}">What each call meant for it</a>', path, contact.pk)

    @admin.action(description="Send the chosen customers to HubSpot again", permissions=["change"])
    def sync(self, request: HttpRequest, contacts: "QuerySet[Contact]") -> None:
        for contact in contacts:
            try:
                request_sync(account_id=contact.account_id, customer_id=contact.pk)
            except DomainError as error:
                self.message_user(request, f"{contact.pk}: {error.detail}", messages.WARNING)
            else:
                self.message_user(request, f"{contact.pk} is sent again.")


@admin.register(SoldDeal)
class SoldDealAdmin(BaseModelAdmin):
    """Each deal sold to a buyer: whether HubSpot has it, and why not."""

    list_display = (
        "name",
        "account",
        "buyer",
        "price",
        "sold_at",
        "taken_back",
        "state",
        "hubspot_id",
        "error_reason",
        "error_detail",
        "synced_at",
    )
    list_filter = ("state", "error_code", "is_voided")
    list_select_related = ("account", "buyer")
    search_ids = ("pk", "account_id")
    search_help_text = "A whole id, of the deal or the seller's account."
    exclude = ("lease_id", "lease_until", "claims")
    readonly_fields = ("price", "attempts")
    actions = ("send",)

    @admin.display(description="taken back")
    def taken_back(self, deal: SoldDeal) -> str:
        return "yes" if deal.is_voided else ""

    @admin.display(description="sold for")
    def price(self, deal: SoldDeal) -> str:
        return display(deal.amount, deal.currency)

    @admin.display(description="attempts")
    def attempts(self, deal: SoldDeal) -> str:
        path = reverse("admin:crm_syncattempt_changelist")
        return format_html('<a href="{}?q={}">What each call meant for it</a>', path, deal.pk)

    @admin.action(description="Send the chosen deals to HubSpot again", permissions=["change"])
    def send(self, request: HttpRequest, deals: "QuerySet[SoldDeal]") -> None:
        ids: list[UUID] = list(deals.values_list("pk", flat=True))
        for deal_id in ids:
            request_deal(deal_id=deal_id)
        self.message_user(request, f"{len(ids)} are looked for in HubSpot, and sent.")


@admin.register(SyncAttempt)
class SyncAttemptAdmin(BaseModelAdmin):
    list_display = (
        "at",
        "customer_id",
        "call",
        "outcome",
        "status",
        "code",
        "property",
        "detail",
        "batch_size",
        "duration_ms",
        "correlation_id",
    )
    list_filter = ("outcome", "call")
    search_ids = ("customer_id",)
    search_help_text = "The whole id of a customer or deal."


@admin.register(Connection)
class ConnectionAdmin(BaseModelAdmin):
    """Each account: what is owed to HubSpot, what it rejects, and whether it can be asked."""

    list_display = (
        "account",
        "owed",
        "failed",
        "deals_owed",
        "hubspot",
        "mapping_check",
        "missing_contact",
        "resyncs",
    )
    list_select_related = ("account",)
    search_ids = ("pk",)
    search_help_text = "The whole id of the account."
    list_per_page = 20
    exclude = ("access_token", "token_digest")
    readonly_fields = ("owed", "failed", "deals_owed", "hubspot", "mapping_check")
    actions = ("check_mapping", "resync", "import_contacts")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).defer("access_token")

    @admin.display(description="owed")
    def owed(self, connection: Connection) -> str:
        return selectors.number_owed(connection.account_id)

    @admin.display(description="failed")
    def failed(self, connection: Connection) -> str:
        return selectors.number_failed(connection.account_id)

    @admin.display(description="deals owed")
    def deals_owed(self, connection: Connection) -> str:
        return selectors.number_of_deals_owed(connection.account_id)

    @admin.display(description="HubSpot")
    def hubspot(self, connection: Connection) -> str:
        portal = selectors.standing_of(connection.token_digest).portal
        return portal.status if portal else "not called yet"

    @admin.display(description="mapping")
    def mapping_check(self, connection: Connection) -> str:
        check = selectors.mapping_check(connection.account_id)
        if check is None or (check.checked_at is None and not check.error):
            return "not checked yet"
        if check.error:
            return f"not checked: {check.error}"
        faults = [one for one in check.findings if one["level"] != FindingLevel.OK]
        lines = [(one["property"], one["code"], one["detail"]) for one in faults]
        return format_html_join(mark_safe("<br>"), "{} ({}): {}", lines) or "in order"

    @admin.action(
        description="Check the mapping of the chosen accounts beside HubSpot's properties",
        permissions=["change"],
    )
    def check_mapping(self, request: HttpRequest, connections: "QuerySet[Connection]") -> None:
        for account_id in connections.values_list("pk", flat=True):
            request_check(account_id=account_id)
        self.message_user(request, "What is found is shown here within seconds.")

    @admin.display(boolean=True, description="resync under way")
    def resyncs(self, connection: Connection) -> bool:
        return connection.resync_after is not None

    @admin.action(
        description="Look at all customers of the chosen accounts again", permissions=["change"]
    )
    def resync(self, request: HttpRequest, connections: "QuerySet[Connection]") -> None:
        for account_id in connections.values_list("pk", flat=True):
            request_resync(account_id=account_id)
        self.message_user(request, "They are owed anew; what HubSpot has already is not sent.")

    @admin.action(
        description="Bring in HubSpot's contacts for the chosen accounts", permissions=["change"]
    )
    def import_contacts(self, request: HttpRequest, connections: "QuerySet[Connection]") -> None:
        for connection in connections.select_related("account"):
            try:
                start_import(account_id=connection.pk)
            except DomainError as error:
                self.message_user(request, f"{connection}: {error.detail}", messages.WARNING)
            else:
                self.message_user(request, f"{connection}: under way, see Imports.")


@admin.register(ContactImport)
class ContactImportAdmin(BaseModelAdmin):
    """The first load of each account: how far it is, and what came of it."""

    list_display = (
        "account",
        "progress",
        "created",
        "updated",
        "unchanged",
        "without_email",
        "refused",
        "error",
        "started_at",
        "ended_at",
    )
    list_select_related = ("account",)
    search_ids = ("pk",)
    search_help_text = "The whole id of the account."
    exclude = ("lease_id", "lease_until", "claims")
    readonly_fields = ("progress",)
    actions = ("resume", "pause")

    @admin.display(description="contacts")
    def progress(self, row: ContactImport) -> str:
        return f"{row.read:,} of {row.total:,}" if row.total else f"{row.read:,}"

    @admin.action(
        description="Go on with the chosen imports, or begin anew", permissions=["change"]
    )
    def resume(self, request: HttpRequest, rows: "QuerySet[ContactImport]") -> None:
        for account_id in rows.values_list("pk", flat=True):
            try:
                start_import(account_id=account_id)
            except DomainError as error:
                self.message_user(request, error.detail, messages.WARNING)
        self.message_user(request, "They go on.")

    @admin.action(description="Pause the chosen imports", permissions=["change"])
    def pause(self, request: HttpRequest, rows: "QuerySet[ContactImport]") -> None:
        for account_id in rows.values_list("pk", flat=True):
            pause_import(account_id=account_id)
        self.message_user(request, "They are paused after the page at hand.")


@admin.register(Portal)
class PortalAdmin(BaseModelAdmin):
    """Each token: what is left of its limits."""

    list_display = (
        "__str__",
        "hub_id",
        "since",
        "resume_at",
        "budget",
        "daily_remaining",
        "daily_limit",
        "calls",
        "changed",
        "calls_per_hundred",
        "error_reason",
        "error_detail",
        "deals_error",
    )
    list_filter = ("status",)
    exclude = ("recent",)
    readonly_fields = ("budget", "calls_per_hundred")
    ordering = ("key",)

    @admin.display(description="limit")
    def budget(self, portal: Portal) -> str:
        return f"{portal.rate_limit} in {portal.interval_seconds:g} s"

    @admin.display(description="calls per 100 changes")
    def calls_per_hundred(self, portal: Portal) -> str:
        return f"{100 * portal.calls / portal.changed:.2f}" if portal.changed else "-"


@admin.register(Erasure)
class ErasureAdmin(BaseModelAdmin):
    """What is left to be erased; with an error, what HubSpot refused to."""

    list_display = ("id", "account", "stage", "error", "due_at")
    list_select_related = ("account",)
    search_ids = ("pk", "account_id")
    search_help_text = "A whole id, of the customer or its account."
    exclude = ("email", "lease_id", "lease_until", "claims")
    actions = ("retry",)

    @admin.action(description="Try the chosen erasures again", permissions=["change"])
    def retry(self, request: HttpRequest, erasures: "QuerySet[Erasure]") -> None:
        ids: list[UUID] = list(erasures.values_list("pk", flat=True))
        for customer_id in ids:
            retry_erasure(customer_id=customer_id)
        self.message_user(request, f"{len(ids)} are tried again.")
