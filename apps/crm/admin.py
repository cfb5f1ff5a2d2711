"""Customers, how far HubSpot is with them, and how it fares. Tokens are shown to nobody."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from unfold.enums import ActionVariant

from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin
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

    @Action(
        "Send again",
        "HubSpot is told all of it at once, whatever it has or has rejected.",
        icon="sync",
        variant=ActionVariant.PRIMARY,
    )
    def sync(self, contact: Contact, actor: Actor) -> str:
        request_sync(account_id=contact.account_id, customer_id=contact.pk)
        return f"{contact.pk} is sent again."


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

    @Action(
        "Send again",
        "It is looked for in HubSpot, and sent at once, whatever became of it.",
        icon="sync",
        variant=ActionVariant.PRIMARY,
    )
    def send(self, deal: SoldDeal, actor: Actor) -> str:
        request_deal(deal_id=deal.pk)
        return f"{deal} is looked for in HubSpot, and sent."


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

    @Action(
        "Check mapping",
        "It is laid beside HubSpot's own list of properties; what is found is shown here within seconds.",
        icon="rule",
    )
    def check_mapping(self, connection: Connection, actor: Actor) -> str:
        request_check(account_id=connection.pk)
        return f"The mapping of {connection} is looked at; the list says what is found."

    @admin.display(boolean=True, description="resync under way")
    def resyncs(self, connection: Connection) -> bool:
        return connection.resync_after is not None

    @Action(
        "Resync",
        "All its customers are looked at again; what HubSpot has already is not sent.",
        icon="sync",
        variant=ActionVariant.PRIMARY,
    )
    def resync(self, connection: Connection, actor: Actor) -> str:
        request_resync(account_id=connection.pk)
        return f"All customers of {connection} are looked at again."

    @Action(
        "Import contacts",
        "HubSpot's contacts become customers here, matched by their e-mail; it takes a while.",
        icon="download",
    )
    def import_contacts(self, connection: Connection, actor: Actor) -> str:
        start_import(account_id=connection.pk)
        return f"{connection}: under way, see Imports."


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

    @admin.display(description="contacts")
    def progress(self, row: ContactImport) -> str:
        return f"{row.read:,} of {row.total:,}" if row.total else f"{row.read:,}"

    @Action(
        "Go on",
        "It goes on where it is, or begins anew where it had ended.",
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        when=lambda row: row.due_at is None,
    )
    def resume(self, row: ContactImport, actor: Actor) -> str:
        start_import(account_id=row.pk)
        return f"The import of {row.account} goes on."

    @Action(
        "Pause",
        "It stops after the page at hand, until it is told to go on.",
        icon="pause",
        when=lambda row: row.due_at is not None,
    )
    def pause(self, row: ContactImport, actor: Actor) -> str:
        pause_import(account_id=row.pk)
        return f"The import of {row.account} is paused after the page at hand."


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

    @Action(
        "Try again",
        "HubSpot is asked once more to delete what it refused to delete.",
        icon="replay",
        variant=ActionVariant.PRIMARY,
        when=lambda erasure: erasure.due_at is None,
    )
    def retry(self, erasure: Erasure, actor: Actor) -> str:
        retry_erasure(customer_id=erasure.pk)
        return f"The erasure of {erasure.pk} is tried again."
